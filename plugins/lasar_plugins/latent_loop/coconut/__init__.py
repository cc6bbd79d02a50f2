"""Thinking in continuous space: each thought is fed the state that the one before it left."""
