"""Depth policies."""
