"""The same depth for every prompt."""
