"""How a spec names a saved model. Imports no torch, so that component options may use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter

from lasar_kit.spec import MustExist, NewPath

PACKAGE = "package:"
"""Begins the name of an installed Python package that carries a model."""

GGUF = ".gguf"
"""Ends the name of a file that holds a language model whole, tokenizer included, as llama.cpp writes it."""

_PATH = TypeAdapter(NewPath)


def _folder_or_hub_id(value: object) -> object:
    """The absolute path of what exists or can only be meant as a path, else the hub id."""
    if isinstance(value, os.PathLike):
        return str(_PATH.validate_python(value))
    if not isinstance(value, str) or value.startswith(PACKAGE):
        return value
    path = _PATH.validate_python(value)
    meant_as_path = value.startswith((".", "/", "~")) or value.count("/") > 1 or value.endswith(GGUF)
    return str(path) if meant_as_path or path.is_dir() else str(value)


FolderOrHubId = Annotated[str, BeforeValidator(_folder_or_hub_id), MustExist()]
"""A folder (or GGUF file), made absolute like a `SpecPath`, an id on the hub, or `package:name`."""

GgufFile = Annotated[
    str | None,
    Field(min_length=1, description="GGUF file to read, of a folder or a model on the hub."),
]
"""Which file of a folder or hub id to read the model from."""

Revision = Annotated[
    str | None,
    Field(min_length=1, description="Branch, tag or commit of a model on the hub; null for the newest."),
]
"""Which version of a model on the hub."""


def check_gguf_file(model: str | None, gguf_file: str | None) -> None:
    """`ValueError` for a file of what has none, or is one itself."""
    if gguf_file is None:
        return
    if model is None or model.startswith(PACKAGE) or model.endswith(GGUF):
        raise ValueError(f"'gguf_file' belongs to a folder or a model on the hub (got {model or 'none'})")
    if not gguf_file.endswith(GGUF) or "/" in gguf_file:
        raise ValueError(f"'gguf_file' must be the name of a {GGUF} file (got {gguf_file!r})")


def check_revision(model: str | None, revision: str | None) -> None:
    """`ValueError` for a revision of what has none."""
    if revision is not None and (model is None or model.startswith(PACKAGE) or Path(model).is_absolute()):
        raise ValueError(f"'revision' belongs to a model on the hub (got {model or 'none'})")
