"""Reasoning in words between prompt and answer: a loop that writes, and what trains it."""
