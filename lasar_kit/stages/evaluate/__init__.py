"""Ranks the catalogue for held-out users."""
