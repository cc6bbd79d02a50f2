"""Items that the same users have."""
