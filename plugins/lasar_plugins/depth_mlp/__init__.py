"""A learned depth policy."""
