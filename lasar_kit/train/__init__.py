"""Machinery that all training stages share: the loop, updates, validation, checkpoints, resume."""
