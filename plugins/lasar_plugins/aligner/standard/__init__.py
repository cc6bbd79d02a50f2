"""Holds thoughts to a teacher's reasoning: step by step, at the end, or not at all."""
