"""The built-in stages, a folder each: options, the stage, its own helpers."""
