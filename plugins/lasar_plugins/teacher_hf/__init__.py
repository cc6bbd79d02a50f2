"""Reasoning text by a causal language model from a local folder."""
