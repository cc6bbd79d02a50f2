"""How a spec names a saved model. Imports no torch, so that component options may use it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, TypeAdapter

from lasar_kit.spec import MustExist, NewPath

PACKAGE = "package:"
"""Begins the name of an installed Python package that carries a model."""

_PATH = TypeAdapter(NewPath)


def _folder_or_hub_id(value: object) -> object:
    """The absolute path of a folder that exists or that can only be meant as one, else the hub id."""
    if not isinstance(value, str) or value.startswith(PACKAGE):
        return value
    path = _PATH.validate_python(value)
    meant_as_path = value.startswith((".", "/", "~")) or value.count("/") > 1
    return str(path) if meant_as_path or path.is_dir() else str(value)


FolderOrHubId = Annotated[str, BeforeValidator(_folder_or_hub_id), MustExist()]
"""A folder, made absolute like a `SpecPath`, an id on the hub, or `package:name`."""
