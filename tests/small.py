"""Specs of small runs, for tests to extend (the first line of one of their own), and those of tutorials."""

from collections.abc import Sequence
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


def ran(folder: Path, name: str, text: str, overrides: Sequence[str] = (), use_cache: bool = True) -> Path:
    """Run a spec of this text in `folder / name`; the folder of its stages."""
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.run import runner
    from lasar_kit.spec import load_spec

    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)
    catalogue = Catalogue.discover()
    loaded = load_spec(folder / f"{name}.yaml", overrides, catalogue)
    runner.run_spec(loaded, catalogue, folder / name, use_cache)
    return folder / name / "stages"


THINKS = """\
backbone: {use: qwen3, pretrained: Qwen/Qwen3-0.6B}
stages:
  tokenize: tokenize
  ground: {use: sft}
  anchors: {use: anchors}
  reason: {use: sft, latent_loop: coconut, depth_policy: mlp}
  rl: {use: rl}
"""
"""A spec whose third stage thinks."""


def told(folder: Path, spec: str, *overrides: str) -> list[str]:
    """Warnings about a spec of this text, without the folder before the file."""
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import cautions, load_spec

    (folder / "spec.yaml").write_text(spec)
    found = cautions(load_spec(folder / "spec.yaml", overrides, Catalogue.discover()))
    return [line.removeprefix(f"{folder}/") for line in found]
