"""A random order of the catalogue, exact in its mean: what chance alone gives."""
