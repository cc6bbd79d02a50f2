"""Options of a component without a spec around it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.spec import ComponentConfig, messages
from lasar_kit.spec.component import validated
from lasar_kit.spec.yaml_source import Node, Place


def configured(
    kind: str, config: ComponentConfig | Mapping[str, Any] | str, catalogue: Catalogue
) -> ComponentConfig:
    """The config of a table with `use` or of a bare name; `UserError` with a line for each mistake."""
    if isinstance(config, ComponentConfig):
        return config
    table = {"use": config} if isinstance(config, str) else dict(config)
    if not isinstance(table.get("use"), str):
        raise UserError(f"{kind}: give the component's name as 'use' (got {table.get('use')!r})")
    place = Place(f"{kind} {table['use']}", Path.cwd())
    try:
        return validated(catalogue.config_class(kind, table["use"]), table, {"catalogue": catalogue})
    except ValidationError as error:
        raise UserError(*messages.lines(error, _placed(table, place))) from None


def _placed(value: Any, place: Place) -> Node:
    """A plain value as the tree that messages are written from."""
    if isinstance(value, Mapping):
        return Node({str(key): _placed(inner, place) for key, inner in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node([_placed(inner, place) for inner in value], place)
    return Node(value, place)
