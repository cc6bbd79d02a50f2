"""Rewards of a group of candidates (paper E.5)."""
