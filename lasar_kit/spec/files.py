"""The files that a spec reads, and which of them are missing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from lasar_kit.errors import nearest_file
from lasar_kit.spec import messages
from lasar_kit.spec.load import LoadedSpec
from lasar_kit.spec.paths import MustExist

Key = tuple[str | int, ...]


def missing_files(loaded: LoadedSpec) -> list[str]:
    """A line for each path that leads nowhere, as `file:line: dataset.path: no such file or folder: …`."""
    return [
        f"{loaded.where(*key)}: {messages.dotted(key)}: no such file or folder: {path}{nearest_file(path)}"
        for key, path in read_paths(loaded.spec)
        if not os.path.exists(path)
    ]


def read_paths(value: object, key: Key = (), marked: bool = False) -> Iterator[tuple[Key, str]]:
    """All paths in a value that must exist, each with the key that it stands at.

    Those of a model are what its fields mark; `marked` says so of a value that stands outside of one.
    """
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            marks = (*field.metadata, *_marks(field.annotation))
            place = (*key, field.alias or name)
            yield from read_paths(
                getattr(value, name), place, any(isinstance(mark, MustExist) for mark in marks)
            )
    elif isinstance(value, Mapping):
        for name, inside in value.items():
            yield from read_paths(inside, (*key, str(name)), marked)
    elif isinstance(value, list | tuple):
        for position, inside in enumerate(value):
            yield from read_paths(inside, (*key, position), marked)
    elif marked and isinstance(value, os.PathLike | str) and os.path.isabs(value):
        yield key, str(value)


def _marks(annotation: Any) -> Iterator[object]:
    """Yield the marks of an annotation's parts."""
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _marks(part)
