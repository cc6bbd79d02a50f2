"""Stores the hidden states of a teacher's reasoning."""
