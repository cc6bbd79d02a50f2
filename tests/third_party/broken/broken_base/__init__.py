"""A plugin with one fault, told by its name."""
