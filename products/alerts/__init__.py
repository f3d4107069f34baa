"""One measurement as the world is told of it."""
