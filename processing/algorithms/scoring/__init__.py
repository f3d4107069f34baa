"""Scorers (real or bogus), one file each."""
