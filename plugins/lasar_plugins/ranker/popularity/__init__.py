"""Every user the same: what is bought most."""
