"""The guard in front of every file that comes from outside: it reads bytes, before Astropy sees the file."""
