"""From a spec file to a checked run: read, extend, set, validate, plan."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lasar_kit.errors import UserError, nearest_file
from lasar_kit.spec import lineage, messages, presets
from lasar_kit.spec.component import ConfigSource
from lasar_kit.spec.merge import merge
from lasar_kit.spec.plan import PlannedStage, plan
from lasar_kit.spec.run_spec import RunSpec
from lasar_kit.spec.shape import Shape
from lasar_kit.spec.yaml_source import Node, Place, dump, parse, read_file

LONGEST_CHAIN = 50
"""Specs that may extend one another."""

_KEY = re.compile(r"[^.=\s]+(\.[^.=\s]+)*")


@dataclass(frozen=True)
class LoadedSpec:
    """A checked spec: the run, its stages with their inputs, and where every value was written."""

    path: Path
    spec: RunSpec
    plan: list[PlannedStage]
    tree: Node

    def where(self, *key: str | int) -> str:
        """The place of a value, as `file:line` or `--set key`; the nearest table's if it is a default."""
        return str(messages.find(self.tree, key)[1])

    def dump(self) -> str:
        """YAML with every default filled in and every path absolute; it loads to the same spec."""
        return dump(self.spec.model_dump(mode="json"))


def _read_chain(
    path: Path, shown: str, chain: tuple[Path, ...], shape: Shape, mistakes: list[str]
) -> Node | None:
    """The table of a file, merged onto what it extends; `chain` holds the files that extend this one.

    A name is not inherited: two runs of one name would write to one folder.
    """
    node = read_file(path, shown, mistakes)
    if node is None:
        return None
    assert isinstance(node.value, dict)
    own = dict(node.value)
    extends = own.pop("extends", None)
    if extends is None:
        return node
    found = _base(extends.value, path, shown, chain)
    if isinstance(found, str):
        mistakes.append(f"{extends.place}: extends: {found}")
        return None
    base = _read_chain(*found, (*chain, path.resolve()), shape, mistakes)
    if base is None:
        return None
    assert isinstance(base.value, dict)
    inherited = {key: value for key, value in base.value.items() if key != "name"}
    return merge(Node(inherited, base.place), Node(own, node.place), shape)


def _base(extends: object, path: Path, shown: str, chain: tuple[Path, ...]) -> tuple[Path, str] | str:
    """The file that a file extends, and how it is shown; a line on why it cannot be where it cannot."""
    if not isinstance(extends, str) or not extends:
        return "must be the path of a spec"
    if extends.startswith(presets.PREFIX):
        try:
            base, shown_base = presets.preset(extends.removeprefix(presets.PREFIX)), extends
        except UserError as error:
            return error.lines[0]
    else:
        base = path.parent / extends
        shown_base = os.path.normpath(os.path.join(os.path.dirname(shown), extends))
    try:
        chain = (*chain, path.resolve())
        in_circle, there = base.resolve() in chain, base.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, a null character
        return f"is no path: {error}"
    if len(chain) > LONGEST_CHAIN:
        return f"the {len(chain)}th file of a chain, at most {LONGEST_CHAIN}"
    if in_circle:
        return f"goes round in a circle: {' -> '.join(step.name for step in (*chain, base))}"
    return (base, shown_base) if there else f"no such file: {shown_base}{nearest_file(base)}"


def _override(override: str, mistakes: list[str]) -> Node | None:
    """The patch that `a.b=value` means, its value read as in a spec."""
    key, equals, text = override.partition("=")
    if not equals or not _KEY.fullmatch(key):
        mistakes.append(f"--set {override}: must read key.key=value")
        return None
    place = Place(f"--set {key}", Path.cwd())
    known = len(mistakes)
    node = parse(text, place, mistakes) or Node(None, place)
    if len(mistakes) > known:
        return None
    for part in reversed(key.split(".")):
        node = Node({part: node}, place)
    return node


def _read(path: Path, overrides: Sequence[str | Node], catalogue: ConfigSource) -> Node:
    """All that was written, merged; raises `UserError` with every mistake in the files' form."""
    mistakes: list[str] = []
    shape = Shape.of(RunSpec, catalogue)
    shown = str(path)
    if shown.startswith(presets.PREFIX):
        path = presets.preset(shown.removeprefix(presets.PREFIX))
    tree = _read_chain(path, shown, (), shape, mistakes)
    patches = [one if isinstance(one, Node) else _override(one, mistakes) for one in overrides]
    if tree is None or mistakes:
        raise UserError(*mistakes)
    for patch in patches:
        assert patch is not None
        tree = Node(merge(tree, patch, shape).value, tree.place)
    assert isinstance(tree.value, dict)
    if "name" not in tree.value:
        # Placed without a line: no line of the file holds it.
        stem = Node(path.stem, Place(str(path), path.parent.resolve()))
        tree = Node({"name": stem} | tree.value, tree.place)
    return tree


def set_options(overrides: Sequence[str], kind: str, name: str, catalogue: ConfigSource) -> dict[str, Any]:
    """The options of a component that `--set` overrides give, and its name; paths start at the cwd.

    Raises `UserError` for an override that cannot be read.
    """
    mistakes: list[str] = []
    place = Place("--set", Path.cwd())
    tree = Node({"use": Node(name, place)}, place)
    shape = Shape.of_component(kind, catalogue)
    for patch in (_override(override, mistakes) for override in overrides):
        if patch is not None:
            tree = Node(merge(tree, patch, shape).value, tree.place)
    if mistakes:
        raise UserError(*mistakes)
    table: dict[str, Any] = tree.plain()
    return table


def load_spec(path: Path, overrides: Sequence[str | Node], catalogue: ConfigSource) -> LoadedSpec:
    """Read a spec, what it extends, and `--set` overrides, or tables that change it as a spec that extends it
    would; check it and plan its stages.

    Raises `UserError` with one line a mistake, each naming the file and line, or the override, at fault.
    """
    tree = _read(path, overrides, catalogue)
    try:
        spec = RunSpec.model_validate(tree.plain(), context={"catalogue": catalogue})
    except ValidationError as error:
        raise UserError(*messages.lines(error, tree)) from None

    def where(key: tuple[str, ...]) -> str:
        return f"{messages.find(tree, key)[1]}: "

    planned = plan(spec, where)
    lineage.check(spec, planned, where)
    return LoadedSpec(path, spec, planned, tree)
