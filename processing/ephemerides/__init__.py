"""Where known bodies of the Solar System are."""
