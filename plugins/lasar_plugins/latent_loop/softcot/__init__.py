"""Soft tokens that a frozen assistant thought of."""
