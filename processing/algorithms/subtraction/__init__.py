"""Subtraction methods, one file each."""
