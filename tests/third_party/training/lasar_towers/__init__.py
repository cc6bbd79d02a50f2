"""A training stage written against the public face alone."""
