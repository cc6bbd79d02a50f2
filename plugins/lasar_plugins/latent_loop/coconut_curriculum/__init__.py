"""Coconut's own curriculum: steps in words give way to thoughts, one after another."""
