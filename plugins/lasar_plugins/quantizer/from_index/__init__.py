"""Codes that somebody else assigned."""
