"""Reasoning text by a causal language model in this process."""
