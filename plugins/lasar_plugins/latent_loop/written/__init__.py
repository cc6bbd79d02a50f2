"""Explicit chain of thought: reasoning in words between prompt and answer."""
