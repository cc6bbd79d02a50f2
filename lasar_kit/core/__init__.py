"""The interfaces of components, and the values that pass between them."""
