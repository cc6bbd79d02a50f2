"""REINFORCE on the depth policy (paper Eq. 6)."""
