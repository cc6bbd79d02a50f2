"""Components of all kinds, put together."""
