"""A component as text: what it is, its options, and an example."""

from __future__ import annotations

import json
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from rich.table import Table
from rich.text import Text

from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.registry import Entry
from lasar_kit.cli.listing import render, table
from lasar_kit.spec.bases import DecoderConfig
from lasar_kit.spec.component import ComponentConfig, ComponentOf, SpecModel
from lasar_kit.spec.places import example
from lasar_kit.spec.yaml_source import dump

_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _type_name(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _type_name(part) for part in parts)
    if origin is Literal:
        return " or ".join(str(part) for part in parts)
    if origin is not None:
        inside = [_type_name(part) for part in parts if part is not Ellipsis]
        return f"{origin.__name__} of {', '.join(inside)}"
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return f"table ({', '.join(annotation.model_fields)})"
    names = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "Path": "path"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name)


def _field_type(field: FieldInfo) -> str:
    of = next((mark for mark in field.metadata if isinstance(mark, ComponentOf)), None)
    return of.kind if of else _type_name(field.annotation)


def _bounds(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(mark, key)}"
        for mark in field.metadata
        for key, sign in _SIGNS.items()
        if getattr(mark, key, None) is not None
    ]
    return ", ".join(bounds)


def _default(field: FieldInfo) -> Any:
    """A field's default as it would stand in a spec."""
    value = field.get_default(call_default_factory=True, validated_data={})
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _shown(value: Any) -> str:
    """A default on one line, as YAML has it."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False).replace('"', "")
    return dump(value).removesuffix("...\n").strip()


def _add_options(table: Table, model: type[SpecModel], prefix: str) -> None:
    """A row an option; those of a table in the table follow it under dotted names."""
    for name, field in model.model_fields.items():
        if name == "use":
            continue
        key = prefix + (field.alias or name)
        inner = field.annotation
        nested = inner if isinstance(inner, type) and issubclass(inner, SpecModel) else None
        if nested is not None and not issubclass(nested, ComponentConfig):
            _add_options(table, nested, f"{key}.")
            continue
        default = "required" if field.is_required() else _shown(_default(field))
        table.add_row(*map(Text, (key, _field_type(field), default, _bounds(field), field.description or "")))


def _example(entry: Entry, config: type[ComponentConfig]) -> str:
    """The component in a spec, with its defaults; what has none stands as an ellipsis."""
    options: dict[str, Any] = {"use": entry.name}
    for name, field in config.model_fields.items():
        if name == "use":
            continue
        value = "…" if field.is_required() else _default(field)
        if isinstance(value, tuple):
            value = list(value)
        if value is not None and value != []:
            options[field.alias or name] = value
    draws = issubclass(config, DecoderConfig) and config.draws
    return example("rollout" if draws else entry.kind, options)


def describe(catalogue: Catalogue, kind: str, name: str) -> str:
    """A component's summary, origin, options, and an example in YAML."""
    entry = catalogue.get(kind, name)
    config = catalogue.config_class(kind, name)
    facts = {"paper": entry.paper, "origin": entry.origin, "build": entry.build, "requires": entry.requires}
    head = [Text(f"{kind} {name}: {entry.summary}", style="bold")]
    head += [Text(f"{key}: {value}") for key, value in facts.items() if value]
    options = table("options", "name", "type", "default", "range", "description")
    _add_options(options, config, "")
    example = Text(_example(entry, config).rstrip())
    return render(*head, Text(), options, Text(), Text("example", style="bold"), example)
