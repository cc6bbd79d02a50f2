"""The JSON Schema that editors read beside the tutorials' specs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lasar_kit.spec.yaml_source import Place, parse
from tests.small import SPECS

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((ROOT / "tutorials" / "lasar.schema.json").read_text())


def plain(node: Any) -> Any:
    """The data of a parsed spec."""
    value = node.value
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_spec_names_the_schema_and_fits_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found, f"{path}: its first line must be '# yaml-language-server: $schema=…/lasar.schema.json'"
    assert (path.parent / found[1]).resolve() == ROOT / "tutorials" / "lasar.schema.json"
    tree = parse(path.read_text(), Place(path.name, path.parent), [])
    jsonschema.Draft202012Validator(SCHEMA).validate(plain(tree))


def options(part: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every option that a schema describes, with where it stands."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "properties":
                yield from ((f"{place}.{name}", option) for name, option in value.items())
            yield from options(value, place if key in ("$defs", "properties") else f"{place}.{key}")
    elif isinstance(part, list):
        for value in part:
            yield from options(value, place)


def test_every_option_has_a_description() -> None:
    found = {}
    for name, definition in [*SCHEMA["$defs"].items(), ("run", SCHEMA["else"])]:
        found |= {f"{name}{place}": option for place, option in options(definition)}
    assert len(found) > 200
    assert [place for place, option in found.items() if not option.get("description")] == []
