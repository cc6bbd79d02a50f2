"""Writes the package of a new component from the templates beside this file.

A template is named like the file it becomes, plus `.txt`, with PACKAGE for the package's folder.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.api_version import API
from lasar_kit.errors import UserError, nearest
from lasar_kit.kinds import KINDS
from lasar_kit.spec.places import example

TEMPLATES = files("lasar_kit.scaffold") / "templates"

MODULES = {
    "dataset": ("source", "Histories read from a text file, a line a user."),
    "text_encoder": ("encoder", "Hashed words of the items' text."),
    "quantizer": ("quantizer", "Codebooks of residuals picked by the seed."),
    "backbone": ("backbone", "A small Llama from scratch."),
    "prompt": ("template", "The history and a question."),
    "latent_loop": ("loop", "Thoughts that keep the prompt in view."),
    "depth_policy": ("policy", "A linear choice of depth."),
    "aligner": ("aligner", "Thought t against segment t, by the angle between them."),
    "sft_objective": ("objective", "Every thought predicts the next item."),
    "rl_objective": ("objective", "A policy gradient against the other candidates' mean."),
    "decoder": ("decoder", "Beam search over the catalogue's trie."),
    "stage": ("stage", "Counts the items that share a prefix of their semantic IDs."),
    "teacher": ("teacher", "A step for each of the last purchases."),
    "segmenter": ("segmenter", "Segments of equal length."),
    "reward": ("reward", "More for the target the earlier it comes."),
    "ranker": ("ranker", "What was bought right behind the last item."),
    "hook": ("hook", "Ends a training stage whose loss has stopped to fall."),
}
"""The module that holds a kind's implementation, and the summary of the one that is written."""

LABELS = {"dataset": "data set", "rl_objective": "RL objective", "sft_objective": "SFT objective"}
"""Names of kinds in words, where their name will not do."""


def write_package(kind: str, name: str, folder: Path) -> list[Path]:
    """Write the package of a component into a folder that is new or empty; returns the files.

    `UserError` for an unknown kind, a name that cannot be a package's or already is one's or a component's,
    and a folder in use.
    """
    _check(kind, name, folder)
    values = _values(kind, name)
    texts: dict[Path, str] = {}
    for part in ("common", kind):  # so that a kind's own file replaces the common one
        for path, template in _templates(TEMPLATES / part):
            target = folder / path.removesuffix(".txt").replace("PACKAGE", name)
            texts[target] = Template(template.read_text(encoding="utf-8")).substitute(values)
    for target, text in texts.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return sorted(texts)


def _check(kind: str, name: str, folder: Path) -> None:
    if kind not in KINDS:
        raise UserError(f"unknown kind {kind!r}; {nearest(kind, KINDS)}")
    if name in (entry.name for entry in Catalogue.discover().entries(kind)):
        raise UserError(f"{kind} {name!r} is there already; choose another name")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"a name must be small letters, digits and '_', for a package as well (got {name!r})")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not empty; choose another folder by --output")
    if importlib.util.find_spec(name) is not None:
        raise UserError(f"there is a package {name!r} already; choose another name")


def _values(kind: str, name: str) -> dict[str, str]:
    """Return the values of the templates' placeholders."""
    module, summary = MODULES[kind]
    own = "".join(part.capitalize() for part in name.split("_"))
    noun = module.capitalize()
    class_name = own if own.endswith(noun) else own + noun
    return {
        "kind": kind,
        "label": LABELS.get(kind, kind.replace("_", " ")),
        "name": name,
        "package": name,
        "project": name.replace("_", "-"),
        "module": module,
        "summary": summary,
        "Class": class_name,
        "Config": f"{class_name}Config",
        "api": f">={API},<{int(API.partition('.')[0]) + 1}",
        "example": example(kind, {"use": name}),
    }


def _templates(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """All files under a folder, with their paths within it."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _templates(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".txt"):
            yield prefix + entry.name, entry
