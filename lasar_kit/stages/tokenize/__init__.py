"""Gives every item its semantic ID."""
