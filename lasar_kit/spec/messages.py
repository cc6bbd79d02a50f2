"""Pydantic's errors as lines a user can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lasar_kit.errors import nearest
from lasar_kit.spec.yaml_source import Node, Place

Path = tuple[str | int, ...]

_BOUNDS = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must hold at least {min_length} (got {actual_length})",
    "too_long": "must hold at most {max_length} (got {actual_length})",
    "string_too_short": "must be at least {min_length} characters long",
    "string_too_long": "must be at most {max_length} characters long",
    "string_pattern_mismatch": "must match {pattern}",
}
_TYPES = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "set": "a list",
    "dict": "a table",
    "model": "a table",
    "none": "null",
    "finite": "a finite number",
}
_LARGE = 2**200
_WITHOUT_VALUE = {"missing", "unknown_key", "unknown_component", "raised"}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > _LARGE:  # Python refuses to write out very large ones
        return f"an integer of {value.bit_length()} bits"
    text = "null" if value is None else repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _message(error: ErrorDetails) -> str:
    """Say what is wrong with one value, without the value."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(
            **{key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()}
        )
    if kind == "missing":
        return "is missing"
    if kind in ("literal_error", "enum"):
        valid = str(context["expected"])
        names = [name.strip("'") for name in valid.replace(" or ", ", ").split(", ")]
        hint = nearest(str(error["input"]), names)
        return f"must be {valid}" + (f"; {hint}" if hint.startswith("did") else "")
    if kind == "value_error":
        return str(context.get("error", error["msg"].removeprefix("Value error, ")))
    expected = _TYPES.get(kind.partition("_")[0])
    if expected and kind.endswith(("_type", "_parsing", "_from_float", "_number", "required", "_size")):
        return f"must be {expected}"
    text = error["msg"]
    return text[:1].lower() + text[1:]


def _stage_meant(error: ErrorDetails, tree: Node) -> str:
    """A hint for a stage that says not what it is: one of a near name, which may have been meant."""
    loc = error["loc"]
    if error["type"] != "unknown_component" or loc[:1] != ("stages",) or loc[2:] != ("use",):
        return ""
    stages = tree.value["stages"].value if isinstance(tree.value, dict) else None
    assert isinstance(stages, dict)
    given = stages[str(loc[1])].value
    if not isinstance(given, dict) or "use" in given:
        return ""
    hint = nearest(str(loc[1]), (name for name in stages if name != loc[1]))
    return f"; {hint}" if hint.startswith("did") else ""


def find(tree: Node, path: Path) -> tuple[Path, Place]:
    """How far a path leads into a tree, and the place of what stands there.

    Parts that the tree has not are left out: they name a branch of a union, or a key that is missing.
    """
    here, keys = tree, []
    for part in path:
        if isinstance(here.value, dict) and part in here.value:
            here = here.value[str(part)]
        elif isinstance(here.value, list) and isinstance(part, int) and part < len(here.value):
            here = here.value[part]
        else:
            continue
        keys.append(part)
    return tuple(keys), here.place


def dotted(path: Path) -> str:
    """`("stages", "encode", "parts", 0)` as `stages.encode.parts[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def lines(error: ValidationError, tree: Node) -> list[str]:
    """One line a mistake, in the order of the file: `spec.yaml:12: stages.ground.lr: must be > 0 (got -1)`.

    What the branches of a union say of one value is joined by "or".
    """
    messages: dict[tuple[Place, Path], list[ErrorDetails]] = {}
    errors = error.errors(include_url=False)
    for detail in errors:
        here = detail["loc"]
        inside = any(other["loc"][: len(here)] == here for other in errors if other is not detail)
        if detail["type"] == "too_short" and inside:
            continue  # pydantic counts what is wrong in a list as missing from it
        path, place = find(tree, detail["loc"])
        last = detail["loc"][-1:]
        absent = detail["type"] == "missing" or last == ("use",)
        messages.setdefault((place, path + last if absent and path[-1:] != last else path), []).append(detail)
    told: list[tuple[Place, str]] = []
    for (place, path), details in messages.items():
        texts = list(dict.fromkeys(_message(detail) + _stage_meant(detail, tree) for detail in details))
        for other in range(1, len(texts)):
            texts[other] = texts[other].removeprefix("must be ")
        got = "" if details[0]["type"] in _WITHOUT_VALUE else f" (got {_shown(details[0]['input'])})"
        text = " or ".join(texts)
        got = "" if "(got" in text else got
        told.append((place, f"{place}: {dotted(path)}: {text}{got}" if path else f"{place}: {text}{got}"))
    told.sort(key=lambda line: (line[0].source, line[0].line or 0))
    return [line for _, line in told]
