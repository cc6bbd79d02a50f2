"""Group-relative policy optimisation of the answers (paper Eq. 5)."""
