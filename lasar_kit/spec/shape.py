"""The shape of a spec, known before it is validated: where null is a value."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lasar_kit.errors import UserError
from lasar_kit.spec.component import ComponentConfig, ComponentOf, ConfigSource, default_component

Table = Mapping[str, FieldInfo] | FieldInfo
"""Fields by key, or the one field that every key of the table has."""


def _kind(field: FieldInfo) -> str | None:
    return next((mark.kind for mark in field.metadata if isinstance(mark, ComponentOf)), None)


def _branches(field: FieldInfo) -> Iterator[FieldInfo]:
    """The branches of a union, through the names of aliases; a component is one branch, null and all."""
    annotation = field.annotation
    parts: tuple[Any, ...] = ()
    if _kind(field) is None:
        alias = getattr(annotation, "__value__", None)
        union = get_origin(annotation) in (Union, types.UnionType)
        parts = get_args(annotation) if union else () if alias is None else (alias,)
    for part in parts:
        yield from _branches(FieldInfo.from_annotation(part))
    if not parts:
        yield field


def _takes_null(field: FieldInfo) -> bool:
    return any(
        branch.annotation in (None, type(None), Any, object)
        or (get_origin(branch.annotation) is Literal and None in get_args(branch.annotation))
        or (_kind(branch) is not None and type(None) in get_args(branch.annotation))
        for branch in _branches(field)
    )


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields by every key that they go by."""
    named = dict(model.model_fields)
    return named | {field.alias: field for field in named.values() if field.alias}


@dataclass(frozen=True)
class Shape:
    """The fields that one place of a spec may be of: several in a union, none where nothing is known."""

    fields: tuple[FieldInfo, ...] = ()
    source: ConfigSource | None = None

    @classmethod
    def of(cls, model: type[BaseModel], source: ConfigSource) -> Shape:
        """The shape of a table that is such a model."""
        return cls((FieldInfo.from_annotation(model),), source)

    @classmethod
    def of_component(cls, kind: str, source: ConfigSource) -> Shape:
        """The shape of a place where a component of some kind stands."""
        annotation: Any = Annotated[ComponentConfig, ComponentOf(kind)]
        return cls((FieldInfo.from_annotation(annotation),), source)

    @property
    def keeps_null(self) -> bool:
        """Whether null says something here that leaving the key out does not."""
        return any(_takes_null(field) and field.default is not None for field in self.fields)

    def key(self, name: str, use: object) -> Shape:
        """The shape at a key of the table here, whose component is `use`, or the default where it names none.

        A key that no field goes by takes anything, so that validation sees it and says so.
        """
        tables = [table for field in self.fields for table in self._tables(field, use)]
        fields = [table if isinstance(table, FieldInfo) else table.get(name) for table in tables]
        known = tuple(field for field in fields if field is not None)
        if tables and not known:
            known = (FieldInfo.from_annotation(Any),)
        return Shape(known, self.source)

    def _tables(self, field: FieldInfo, use: object) -> Iterator[Table]:
        """The tables that a field admits."""
        for part in _branches(field):
            kind, annotation = _kind(part), part.annotation
            if kind is not None:
                name = default_component(field) if use is None else use
                model = self._config_class(kind, name)
                if model is not None:
                    yield _fields(model)
            elif annotation in (Any, object, dict) or get_origin(annotation) in (dict, Mapping):
                yield FieldInfo.from_annotation((*get_args(annotation), Any, Any)[1])
            elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield _fields(annotation)

    def _config_class(self, kind: str, name: object) -> type[BaseModel] | None:
        """The config class of a component; None where there is none, of which validation speaks."""
        if self.source is None or not isinstance(name, str):
            return None
        try:
            return self.source.config_class(kind, name)
        except UserError:
            return None


NOTHING = Shape()
"""The shape of a place of which nothing is known: null deletes there, as in RFC 7396."""
