"""Items that all of a run goes without."""

Held = float | tuple[str, ...]
"""The share of items that is held out of training, drawn by the seed, or their raw ids."""
