"""Ways to send alerts, one file each."""
