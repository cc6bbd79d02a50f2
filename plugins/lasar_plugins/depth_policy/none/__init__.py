"""Nothing to choose: depth 0."""
