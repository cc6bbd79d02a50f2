"""A generated shop, for trying things out without any files."""
