"""YAML with a place for every value.

Plain scalars are read as YAML 1.2's core schema has them: `5e-4` is a number, `on` a text, `012` twelve.
Tags, anchors, aliases, merge keys, duplicate keys and several documents are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lasar_kit.errors import nearest_file
from lasar_kit.spec.paths import SourcedText

Scalar = str | int | float | bool | None

LARGEST = 2**20
"""Bytes of a spec; a larger file is something else, and would take minutes to read."""

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_NAN = float("nan")
_WORDS: dict[str, Scalar] = {"": None, "~": None, ".nan": _NAN, ".NaN": _NAN, ".NAN": _NAN}
for _word, _value in {"null": None, "true": True, "false": False}.items():
    _WORDS |= dict.fromkeys((_word, _word.capitalize(), _word.upper()), _value)
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")


def read_scalar(text: str) -> Scalar:
    """The value of a plain scalar, by YAML 1.2's core schema.

    >>> read_scalar("5e-4"), read_scalar("on"), read_scalar("012"), read_scalar("~")
    (0.0005, 'on', 12, None)
    """
    if text in _WORDS:
        return _WORDS[text]
    if match := _INFINITY.fullmatch(text):
        return float(match[1] + "inf")
    if _INT.fullmatch(text):
        return int(text) if len(text) < 4000 else text  # Python refuses to convert much longer ones
    if _BASED.fullmatch(text):
        return int(text, 0) if len(text) < 4000 else text
    return float(text) if _FLOAT.fullmatch(text) else text


@dataclass(frozen=True)
class Place:
    """Where a value was written: a file and its line, or a `--set`; `base` is where its paths start."""

    source: str
    base: Path
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Node:
    """A value and its place; the place of a table's entry is that of its key."""

    value: dict[str, Node] | list[Node] | Scalar
    place: Place

    def plain(self) -> Any:
        """Without places, but for the base folder that each text remembers."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return SourcedText(self.value, self.place.base) if isinstance(self.value, str) else self.value


class _Composer(yaml.SafeLoader):
    """Composes nodes and notes what a spec may not hold."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.refused: list[tuple[int, str]] = []

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if self.check_event(yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            self.refused.append((line, f"aliases are not read; write the value of *{event.anchor} out"))
            return yaml.ScalarNode("", "", event.start_mark, event.end_mark)
        if getattr(event, "anchor", None) is not None:
            self.refused.append((line, f"anchors are not read; remove &{event.anchor}"))
        if getattr(event, "tag", None) is not None:
            self.refused.append((line, f"tags are not read; remove {event.tag} (quotes make a text)"))
        return super().compose_node(parent, index)


class _Builder:
    """Turns PyYAML's nodes into ours and collects what is wrong with them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.mistakes: list[str] = []

    def at(self, line: int) -> Place:
        if self.place.line is None:
            return self.place
        return Place(self.place.source, self.place.base, line)

    def refuse(self, line: int, text: str) -> None:
        self.mistakes.append(f"{self.at(line)}: {text}")

    def build(self, node: yaml.Node, line: int) -> Node:
        if isinstance(node, yaml.MappingNode):
            return Node(self.table(node), self.at(line))
        if isinstance(node, yaml.SequenceNode):
            items = [self.build(item, item.start_mark.line + 1) for item in node.value]
            return Node(items, self.at(line))
        assert isinstance(node, yaml.ScalarNode)
        value = read_scalar(node.value) if node.style is None else node.value
        return Node(value, self.at(line))

    def table(self, node: yaml.MappingNode) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                self.refuse(line, "a key must be a text")
            elif key.value == "<<" and key.style is None:
                self.refuse(line, "merge keys are not read; write the options out, or use 'extends'")
            elif key.value in entries:
                self.refuse(line, f"{key.value}: stands here twice, first on line {lines[key.value]}")
            else:
                lines[key.value] = line
                entries[key.value] = self.build(value, line)
        return entries


_BLOCK = "expected <block end>, but found "
_INDENTED = "is not indented as the lines above"
_SPOKEN = {
    "mapping values are not allowed here": "a ':' where none can stand; indent as the line before, leave a "
    "blank behind each ':', quote a text that holds one",
    f"{_BLOCK}'<scalar>'": "a text where a key should stand; are quotes missing, or a ','?",
    f"{_BLOCK}'<block mapping start>'": _INDENTED,
    f"{_BLOCK}'<block sequence start>'": _INDENTED,
    f"{_BLOCK}'?'": _INDENTED,
    f"{_BLOCK}'-'": _INDENTED,
}
"""What PyYAML's problems mean to who wrote the file."""


def _syntax_mistake(error: yaml.YAMLError, text: str, place: Place) -> str:
    line, problem = 1, str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or error.context or problem
        if "'\\t'" in problem:
            problem = "a tab; indent with spaces"
        elif "single document" in (error.context or ""):
            problem = "holds a second document; a spec is one"
        elif problem in _SPOKEN:
            problem = _SPOKEN[problem]
        elif error.context and error.problem and "expected" in error.problem:
            problem = f"{error.context}, {error.problem}"
            if error.context_mark and error.context_mark.line + 1 < line:
                problem += f"; it begins on line {error.context_mark.line + 1}"
    elif isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character U+{error.character:04X} is not allowed"
    at = Place(place.source, place.base, None if place.line is None else line)
    problem = problem.replace("'<stream end>'", "the end of the file").replace(
        "end of stream", "end of the file"
    )
    return f"{at}: is not YAML: {' '.join(problem.split())}"


def parse(text: str, place: Place, mistakes: list[str]) -> Node | None:
    """The one document of a text; None if it is empty or not YAML. Mistakes are added to the list.

    Values are placed by their own lines, or all at `place` if that has no line.
    """
    try:
        composer = _Composer(text)
        root = composer.get_single_node()
        builder = _Builder(place)
        node = None if root is None else builder.build(root, root.start_mark.line + 1)
    except yaml.YAMLError as error:
        mistakes.append(_syntax_mistake(error, text, place))
        return None
    except RecursionError:
        mistakes.append(f"{Place(place.source, place.base)}: is nested too deeply")
        return None
    for line, problem in composer.refused:
        builder.refuse(line, problem)
    mistakes.extend(builder.mistakes)
    return node


def _bytes(path: Path) -> bytes:
    """Read a file, up to a byte more than a spec may hold; a pipe, which might never end, is no file."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("is not a file")
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def read_file(path: Path, shown: str, mistakes: list[str]) -> Node | None:
    """The table in a YAML file; None, with a line added to `mistakes`, when there is none.

    `shown` is the name by which messages call the file.
    """
    try:
        place = Place(shown, path.parent.resolve(), 1)
        data = _bytes(path)
    except FileNotFoundError:
        mistakes.append(f"{shown}: no such file{nearest_file(path)}")
        return None
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        mistakes.append(f"{shown}: cannot be read: {why}")
        return None
    if len(data) > LARGEST:
        mistakes.append(f"{shown}: is larger than {LARGEST // 2**20} MiB, so hardly a spec")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mistakes.append(f"{shown}:{line}: is not UTF-8 (byte 0x{data[error.start]:02x})")
        return None
    known = len(mistakes)
    node = parse(text, place, mistakes)
    if node is None:
        if len(mistakes) == known:
            mistakes.append(f"{shown}: is empty")
        return None
    if not isinstance(node.value, dict):
        mistakes.append(f"{node.place}: must hold a table of options (key: value)")
        return None
    return node


class _Dumper(yaml.SafeDumper):
    """Quotes every text that the reader above would take for something else; writes no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = isinstance(read_scalar(text), str) and not text.startswith("<<")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)


def dump(value: Any) -> str:
    """YAML of plain data, in the given order, that `parse` reads back to the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
