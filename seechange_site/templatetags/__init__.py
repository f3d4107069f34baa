"""How pages write numbers and marks."""
