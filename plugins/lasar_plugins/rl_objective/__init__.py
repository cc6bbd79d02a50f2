"""Terms of the RL loss."""
