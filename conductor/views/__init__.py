"""Pages of the conductor."""
