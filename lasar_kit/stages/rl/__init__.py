"""Reinforcement learning of answers and depth."""
