"""Supervised learning of a loop that writes."""
