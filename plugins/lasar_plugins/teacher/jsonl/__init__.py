"""Reasoning text that was prepared elsewhere."""
