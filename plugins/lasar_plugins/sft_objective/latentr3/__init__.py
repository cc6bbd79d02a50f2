"""Reinforcement of thoughts by the perplexity of the next item."""
