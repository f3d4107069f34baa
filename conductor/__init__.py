"""Which cluster works on which exposure."""
