"""Encoders of item texts."""
