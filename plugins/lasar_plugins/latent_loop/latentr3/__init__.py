"""A thought pooled by attention from all that was read."""
