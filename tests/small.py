"""Specs of small runs, for tests to extend (the first line of one of their own), and those of tutorials."""

from pathlib import Path

SHOP = f"extends: {Path(__file__).with_name('shop.yaml')}\n"
"""All of LASAR on a small shop."""

CUT = f"extends: {Path(__file__).parents[1] / 'benchmarks' / 'kill.yaml'}\n"
"""The same, smaller, with checkpoints every few updates."""

TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"
SUITES = sorted(path for path in TUTORIALS.rglob("*.yaml") if "\nrows:" in path.read_text(encoding="utf-8"))
"""Tutorials that are suites."""

SPECS = sorted(path for path in TUTORIALS.rglob("*.yaml") if path not in SUITES)
"""All others, each the spec of a run."""
