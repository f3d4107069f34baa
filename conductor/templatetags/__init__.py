"""What other pages show of the conductor."""
