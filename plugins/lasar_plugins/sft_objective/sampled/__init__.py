"""Losses of next items that compare an answer with a few drawn others."""
