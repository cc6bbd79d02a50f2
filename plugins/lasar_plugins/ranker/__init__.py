"""Rankers: what needs no language model, to stand beside one that does."""
