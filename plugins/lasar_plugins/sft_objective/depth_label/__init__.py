"""Teaches the depth policy the number of segments."""
