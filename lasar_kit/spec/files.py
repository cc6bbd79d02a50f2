"""The files that a spec reads, and which of them are missing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from lasar_kit.spec import messages
from lasar_kit.spec.component import MustExist
from lasar_kit.spec.load import LoadedSpec

Key = tuple[str | int, ...]


def missing_files(loaded: LoadedSpec) -> list[str]:
    """A line for each path that leads nowhere, as `file:line: dataset.path: no such file or folder: …`."""
    return [
        f"{loaded.where(*key)}: {messages.dotted(key)}: no such file or folder: {path}{_hint(path)}"
        for key, path in _read_paths(loaded.spec, ())
        if not os.path.exists(path)
    ]


def _read_paths(value: object, key: Key) -> Iterator[tuple[Key, str]]:
    """All paths in a value that must exist, each with the key that it stands at."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            inside, place = getattr(value, name), (*key, field.alias or name)
            marked = any(isinstance(mark, MustExist) for mark in (*field.metadata, *_marks(field.annotation)))
            if marked and isinstance(inside, os.PathLike | str) and os.path.isabs(inside):
                yield place, str(inside)
            else:
                yield from _read_paths(inside, place)
    elif isinstance(value, Mapping):
        for name, inside in value.items():
            yield from _read_paths(inside, (*key, str(name)))
    elif isinstance(value, list | tuple):
        for position, inside in enumerate(value):
            yield from _read_paths(inside, (*key, position))


def _marks(annotation: Any) -> Iterator[object]:
    """What the parts of an annotation are marked with."""
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _marks(part)


def _hint(path: str) -> str:
    """The name that comes nearest among those beside a missing file."""
    folder, name = os.path.split(path)
    try:
        close = get_close_matches(name, os.listdir(folder), n=1)
    except (OSError, ValueError):
        return ""
    return f"; did you mean {close[0]!r}?" if close else ""
