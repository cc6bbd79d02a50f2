"""How a spec names a saved model. Imports no torch, so that component options may use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter

from lasar_kit.spec import MustExist, NewPath

PACKAGE = "package:"
"""Begins the name of an installed Python package that carries a model."""

_PATH = TypeAdapter(NewPath)


def _folder_or_hub_id(value: object) -> object:
    """The absolute path of a folder that exists or that can only be meant as one, else the hub id."""
    if isinstance(value, os.PathLike):
        return str(_PATH.validate_python(value))
    if not isinstance(value, str) or value.startswith(PACKAGE):
        return value
    path = _PATH.validate_python(value)
    meant_as_path = value.startswith((".", "/", "~")) or value.count("/") > 1
    return str(path) if meant_as_path or path.is_dir() else str(value)


FolderOrHubId = Annotated[str, BeforeValidator(_folder_or_hub_id), MustExist()]
"""A folder, made absolute like a `SpecPath`, an id on the hub, or `package:name`."""

Revision = Annotated[
    str | None,
    Field(min_length=1, description="Branch, tag or commit of a model on the hub; null for the newest."),
]
"""Which version of a model on the hub."""


def check_revision(model: str | None, revision: str | None) -> None:
    """`ValueError` for a revision of what has none."""
    if revision is not None and (model is None or model.startswith(PACKAGE) or Path(model).is_absolute()):
        raise ValueError(f"'revision' belongs to a model on the hub (got {model or 'none'})")
