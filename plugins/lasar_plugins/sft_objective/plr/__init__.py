"""Streams of thought kept apart."""
