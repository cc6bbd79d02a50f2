"""Specs of small runs, for tests to extend: the first line of one of their own."""

from pathlib import Path

SHOP = f"extends: {Path(__file__).with_name('shop.yaml')}\n"
"""All of LASAR on a small shop."""

CUT = f"extends: {Path(__file__).parents[1] / 'benchmarks' / 'kill.yaml'}\n"
"""The same, smaller, with checkpoints every few updates."""
