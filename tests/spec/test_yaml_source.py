"""Reading YAML: YAML 1.2's core schema, lines, and refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.spec.yaml_source import Node, Place, dump, parse, read_file, read_scalar

HERE = Place("spec.yaml", Path("/base"), 1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def read(text: str) -> Any:
    mistakes: list[str] = []
    node = parse(text, HERE, mistakes)
    assert mistakes == []
    return None if node is None else node.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 0.0005), ("5E3", 5000.0), (".5", 0.5), ("1.", 1.0), ("-1e+2", -100.0), ("+7", 7),
        ("012", 12),
        ("0o14", 12), ("0x1F", 31), ("on", "on"), ("no", "no"), ("yes", "yes"), ("NO", "NO"), ("true", True),
        ("False", False), ("tRue", "tRue"), ("~", None), ("Null", None), ("", None), ("1_000", "1_000"),
        ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("e5", "e5"), ("1e", "1e"), (".", "."), ("-", "-"),
        ("٣", "٣"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_plain_scalars(text: str, value: object) -> None:
    found = read_scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_infinities_and_nan() -> None:
    assert read("[.inf, -.INF, +.Inf]") == [math.inf, -math.inf, math.inf]
    assert math.isnan(read(".nan"))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**40), 10**40))
def test_what_python_prints_of_a_number_is_that_number(number: float) -> None:
    assert read_scalar(repr(number)) == number
    assert isinstance(read_scalar(repr(number)), type(number))


@given(VALUES)
def test_what_is_dumped_is_read_back(value: Any) -> None:
    found = read(dump({"value": value}))["value"]
    assert found == value
    assert repr(found) == repr(value)


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_or_refused(text: str) -> None:
    mistakes: list[str] = []
    node = parse(text, HERE, mistakes)
    assert isinstance(node, Node) or node is None
    assert all(line.startswith("spec.yaml:") and "\n" not in line for line in mistakes)


def test_quotes_make_a_text() -> None:
    assert read("{a: '5', b: \"null\", c: 5}") == {"a": "5", "b": "null", "c": 5}
    assert read("a: |\n  5\n") == {"a": "5\n"}


def test_keys_are_texts() -> None:
    assert read("{1: a, on: b, 012: c}") == {"1": "a", "on": "b", "012": "c"}


def test_every_value_has_its_line() -> None:
    node = parse("a: 1\nb:\n  c:\n    - 2\n    -\n      3\n", HERE, [])
    assert node is not None
    assert isinstance(node.value, dict)
    table = node.value["b"].value
    assert isinstance(table, dict)
    items = table["c"].value
    assert isinstance(items, list)
    lines = [node.value["a"].place.line, node.value["b"].place.line, table["c"].place.line]
    assert lines == [1, 2, 3]
    assert [item.place.line for item in items] == [4, 6]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "a: 1\nb: !!str 5",
            ["spec.yaml:2: tags are not read; remove tag:yaml.org,2002:str (quotes make a text)"],
        ),
        ("a: !!python/object/apply:os.system [ls]", ["spec.yaml:1: tags are not read"]),
        (
            "a: &x 1\nb: *x",
            ["spec.yaml:1: anchors are not read; remove &x", "spec.yaml:2: aliases are not read"],
        ),
        ("a: &x [*x]", ["spec.yaml:1: anchors", "spec.yaml:1: aliases"]),
        ("a:\n  <<: {b: 1}", ["spec.yaml:2: merge keys are not read"]),
        ("a: 1\nb: 2\na: 3", ["spec.yaml:3: a: stands here twice, first on line 1"]),
        ("b:\n  a: 1\n  a: 2\n  a: 3", ["spec.yaml:3: a: stands here", "spec.yaml:4: a: stands here"]),
        ("? [a, b]\n: 1", ["spec.yaml:1: a key must be a text"]),
        ("'': 1", ["spec.yaml:1: a key must be a text"]),
        ("a: 1\n---\nb: 2", ["spec.yaml:2: is not YAML: holds a second document; a spec is one"]),
        ("a:\n\tb: 1", ["spec.yaml:2: is not YAML: a tab; indent with spaces"]),
        ("a: 1\nb: [1, 2", ["spec.yaml:2: is not YAML: while parsing a flow sequence"]),
        ("a: b: c", ["spec.yaml:1: is not YAML: a ':' where none can stand; indent as the line before, "]),
        ("a:\n  b:c\n  d: e", ["spec.yaml:3: is not YAML: a ':' where none can stand; "]),
        ("a:\n  b: 1\n c: 2", ["spec.yaml:3: is not YAML: is not indented as the lines above"]),
        ("a: b\n- c", ["spec.yaml:2: is not YAML: is not indented as the lines above"]),
        ("a: 'it's'", ["spec.yaml:1: is not YAML: a text where a key should stand; are quotes missing, "]),
        (
            "a: [1, 2\nb: 3",
            [
                "spec.yaml:2: is not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'; "
                "it begins on line 1"
            ],
        ),
        (
            "a: {b: 1",
            [
                "spec.yaml:1: is not YAML: while parsing a flow mapping, expected ',' or '}', "
                "but got the end of the file"
            ],
        ),
        ("a: 1\nb: \x07", ["spec.yaml:2: is not YAML: the character U+0007 is not allowed"]),
        ("[" * 3000, ["spec.yaml: is nested too deeply"]),
    ],
)
def test_refusals(text: str, lines: list[str]) -> None:
    mistakes: list[str] = []
    parse(text, HERE, mistakes)
    assert len(mistakes) == len(lines)
    for mistake, line in zip(mistakes, lines, strict=True):
        assert mistake.startswith(line)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "x.yaml: is empty"),
        (b"# nothing\n", "x.yaml: is empty"),
        (b"- 1\n", "x.yaml:1: must hold a table of options (key: value)"),
        (b"\ntext\n", "x.yaml:2: must hold a table of options (key: value)"),
        (b"a: 1\nb: \xff\n", "x.yaml:2: is not UTF-8 (byte 0xff)"),
        (None, "x.yaml: no such file"),
    ],
)
def test_files_that_hold_no_table(tmp_path: Path, data: bytes | None, line: str) -> None:
    path = tmp_path / "x.yaml"
    if data is not None:
        path.write_bytes(data)
    mistakes: list[str] = []
    assert read_file(path, "x.yaml", mistakes) is None
    assert mistakes == [line]


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    mistakes: list[str] = []
    assert read_file(tmp_path, "x", mistakes) is None
    assert mistakes == ["x: cannot be read: Is a directory"]


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    node = read_file(tmp_path / "x.yaml", "x", [])
    assert node is not None
    assert node.plain() == {"a": 1}
