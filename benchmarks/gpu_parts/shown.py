"""What a file of results holds, to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def shown(lines: Sequence[Mapping[str, Any]]) -> str:
    """A line a result: part, name, and its numbers or what stood in its way."""
    return "\n".join(_line(line) for line in lines)


def _line(line: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in line.items() if key not in ("part", "name", "passed")}
    mark = {True: "ok    ", False: "WRONG "}.get(
        line.get("passed"), "ERROR " if "error" in line else "      "
    )
    return f"{mark}{line['part']}  {line['name']}  " + "  ".join(f"{k} {_value(v)}" for k, v in rest.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} {_value(inner)}" for key, inner in value.items()) + "}"
    return str(value)
