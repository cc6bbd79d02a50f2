"""How long to think, by how much was read."""
