"""A suite: specs, or changes of one, as rows; on data sets; and the tables and figures that they make."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from lasar_kit.errors import UserError, nearest, nearest_file
from lasar_kit.spec import messages, presets
from lasar_kit.spec.component import SpecModel
from lasar_kit.spec.paths import resolved
from lasar_kit.spec.run_spec import Name
from lasar_kit.spec.suite_shows import Show
from lasar_kit.spec.suite_stages import Stages, absent
from lasar_kit.spec.yaml_source import Node, Place, parse, read_file

Patch = dict[str, Any]
"""What a spec that extends another one says."""

Printed = dict[str, float | dict[str, float]]
"""Numbers by metric, or by column and metric; `depth` is mean N, `time` seconds a user."""


def _spec(value: object) -> object:
    """A preset's name as it is, any other path from where it was written."""
    named = isinstance(value, str) and value.startswith(presets.PREFIX)
    return str(value) if named else resolved(value)


SpecFile = Annotated[str, BeforeValidator(_spec)]


class SuiteRow(SpecModel):
    """A row: a spec, changes of it, and what a table says of it besides numbers."""

    spec: SpecFile | None = Field(None, description="Its spec; that of the suite when absent.")
    set: Patch = Field({}, description="Changes, as a spec that extends it would have them.")
    cells: dict[str, str] = Field({}, description="Further columns of tables, with what they say of it.")
    printed: dict[str, Printed] = Field({}, description="A paper's numbers, by name of the data set.")


class Suite(SpecModel):
    """A table of runs, and what is made of it."""

    name: Name = Field(description="Name of its files; that of the suite's file when absent.")
    title: str = Field("", description="What its tables are called.")
    spec: SpecFile | None = Field(None, description="The spec that rows change.")
    rows: dict[str, SuiteRow] = Field(min_length=1, description="Rows by name, in order.")
    columns: dict[str, Patch] = Field({}, description="Changes that stand beside each other in a row.")
    data: dict[str, Patch] = Field(
        {}, description="Data sets by name, a block of rows each; that of the specs when absent."
    )
    seeds: int = Field(1, ge=1, description="Seeds of each run, from 0 on.")
    stage: str | None = Field(None, description="The evaluate stage to read; the last when absent.")
    lists: str | None = Field(
        None,
        pattern="history_(in|out)",
        description="The protocol to tell of; each that all were asked under when absent.",
    )
    against: str | None = Field(
        None, description="The row that others are tested against; the first when absent."
    )
    source: str = Field("the paper", description="Where printed numbers stand.")
    show: tuple[Show, ...] = Field(
        ({"use": "table"},), min_length=1, validate_default=True, description="Tables and figures to make."
    )
    scales: dict[str, Patch] = Field(
        {}, description="Other values of these keys under a name, for `--scale NAME`."
    )

    @property
    def reference(self) -> str:
        """The row that others are tested against."""
        return self.against or next(iter(self.rows))


@dataclass(frozen=True)
class At:
    """A place of a suite: its row, and the names of its column and its data set, empty where there is one
    without a name."""

    row: str
    column: str = ""
    data: str = ""

    @property
    def title(self) -> str:
        return ", ".join(part for part in (self.row, self.column, self.data) if part)


@dataclass(frozen=True)
class Planned:
    """What a suite would run at a place: a spec, its changes, and the name of the folder."""

    at: At
    spec: Path
    changes: tuple[Node | str, ...]
    folder: str


@dataclass(frozen=True)
class LoadedSuite:
    """A checked suite, and where everything in it was written."""

    path: Path
    suite: Suite
    tree: Node

    def planned(self) -> list[Planned]:
        """What is to be run, data set by data set, row by row, column by column."""
        found, folders = list[Planned](), set[str]()
        for at in self.places():
            row = self.suite.rows[at.row]
            spec = row.spec or self.suite.spec
            assert spec is not None
            folder = _folder([self.suite.name, at.row, at.column, at.data], folders)
            found.append(Planned(at, Path(spec), tuple(self._changes(at)), folder))
        return found

    def places(self) -> list[At]:
        """Every place, in the order of `planned`."""
        return [
            At(row, column, data)
            for data in self.suite.data or ("",)
            for row in self.suite.rows
            for column in self.suite.columns or ("",)
        ]

    def check_stages(self, stages: Mapping[At, Stages]) -> None:
        """`UserError` with a line for each stage that is to be read of runs that have none such; `stages` are
        those of the spec at each place."""
        if wrong := [_line(self.tree, key, text) for key, text in absent(self.suite, stages)]:
            raise UserError(*wrong)

    def _changes(self, at: At) -> list[Node]:
        patches = []
        if at.data:
            data = _at(self.tree, "data", at.data)
            patches.append(Node({"dataset": data}, data.place))
        if self.suite.rows[at.row].set:
            patches.append(_at(self.tree, "rows", at.row, "set"))
        if at.column:
            patches.append(_at(self.tree, "columns", at.column))
        return patches


def load_suite(
    path: Path, scale: str | None = None, spec: Path | None = None, data: Sequence[str] = ()
) -> LoadedSuite:
    """Read a suite, or one that comes with the kit (`preset:paper/NAME`): at one of its scales, with another
    `spec` for the rows that have none of their own, on other data sets (`NAME=SOURCE`, the source a folder of
    LC-Rec's layout, a name, or a table of options).

    `UserError` with a line a mistake. What it changes of specs is checked when they are loaded.
    """
    mistakes: list[str] = []
    shown = str(path)
    if shown.startswith(presets.PREFIX):
        path = presets.suite(shown.removeprefix(presets.PREFIX))
    tree = read_file(path, shown, mistakes)
    if tree is None or mistakes:
        raise UserError(*mistakes)
    assert isinstance(tree.value, dict)
    value = {"name": Node(path.stem, Place(str(path), path.parent.resolve()))} | tree.value
    given = [_data(one, mistakes) for one in data]
    if mistakes:
        raise UserError(*mistakes)
    if scale is not None:
        value |= _scale(path, value, scale)
    if spec is not None:
        value["spec"] = Node(str(spec), Place("--spec", Path.cwd()))
    if given:
        value["data"] = Node({name: node for name, node in given if node}, Place("--data", Path.cwd()))
    tree = replace(tree, value=value)
    try:
        suite = Suite.model_validate(tree.plain())
    except ValidationError as error:
        raise UserError(*messages.lines(error, tree)) from None
    if wrong := [_line(tree, key, text) for key, text in _wrong(suite)]:
        raise UserError(*wrong)
    return LoadedSuite(path, suite, tree)


def _line(tree: Node, key: messages.Path, text: str) -> str:
    place = messages.find(tree, key)[1]
    return f"{place}: {text}" if place.line is None else f"{place}: {messages.dotted(key)}: {text}"


def _wrong(suite: Suite) -> Iterator[tuple[messages.Path, str]]:
    """Names of rows that there are none of, rows without a spec, and specs that are not there: the keys, and
    what is wrong."""
    named: list[tuple[messages.Path, str | None]] = [(("against",), suite.against)]
    named += [(("show", number, "rows"), name) for number, one in enumerate(suite.show) for name in one.rows]
    for key, name in named:
        if name is not None and name not in suite.rows:
            yield key, f"no row is called {name!r}; {nearest(name, suite.rows)}"
    for name, row in suite.rows.items():
        if (row.spec or suite.spec) is None:
            yield ("rows", name), "has no 'spec', and the suite has none either"
    specs: list[tuple[messages.Path, str | None]] = [(("spec",), suite.spec)]
    specs += [(("rows", name, "spec"), row.spec) for name, row in suite.rows.items()]
    for key, spec in specs:
        if spec is not None and (why := _absent(spec)):
            yield key, why


def _absent(spec: str) -> str:
    """Say that a spec's file, or a preset, is not there; nothing of one that is."""
    if not spec.startswith(presets.PREFIX):
        return "" if Path(spec).exists() else f"no such file: {spec}{nearest_file(spec)}"
    try:
        presets.preset(spec.removeprefix(presets.PREFIX))
    except UserError as error:
        return error.lines[0]
    return ""


def _scale(path: Path, value: Mapping[str, Node], scale: str) -> dict[str, Node]:
    scales = value.get("scales")
    known = scales.value if scales is not None and isinstance(scales.value, dict) else {}
    if scale not in known:
        raise UserError(f"--scale {scale}: {path} has no such scale; {nearest(scale, known)}")
    chosen = known[scale].value
    if not isinstance(chosen, dict):
        raise UserError(f"{known[scale].place}: scales.{scale}: must be a table")
    return chosen


def _data(given: str, mistakes: list[str]) -> tuple[str, Node | None]:
    """The name and the options of a data set of the command line."""
    name, equals, text = given.partition("=")
    place = Place(f"--data {name}", Path.cwd())
    node = parse(text, place, mistakes) if equals and name and text else None
    if node is None:
        mistakes.append(f"--data {given}: must read NAME=SOURCE")
        return name, None
    if isinstance(node.value, str):
        folder = os.sep in node.value or Path(node.value).is_dir()
        options = {"use": Node("lcrec", place), "path": node} if folder else {"use": node}
        return name, Node(options, place)
    return name, node


def _at(node: Node, *keys: str) -> Node:
    for key in keys:
        assert isinstance(node.value, dict)
        node = node.value[key]
    return node


def _folder(parts: Sequence[str], taken: set[str]) -> str:
    """A name of letters that folders are named by, none twice."""
    words = [re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-.") for part in parts if part]
    name = "-".join(word or "x" for word in words)[:80]
    number = 2
    while name in taken:
        name, number = f"{name.removesuffix(f'-{number - 1}')}-{number}", number + 1
    taken.add(name)
    return name
