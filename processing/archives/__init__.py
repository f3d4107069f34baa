"""Archives of exposures that are reached over the network."""
