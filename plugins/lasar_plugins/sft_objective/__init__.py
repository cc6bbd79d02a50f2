"""Terms of the supervised loss."""
