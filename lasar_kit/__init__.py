"""A toolkit for latent-reasoning generative recommenders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasar_kit.serve.recommend import LoadedRun

__all__ = ["load_run"]
__version__ = "0.1.0"


def load_run(folder: str | Path, plugins: Sequence[str | Path] = ()) -> LoadedRun:
    """The last model of a finished run, to rank its catalogue, as it is now, behind any number of histories.

    `plugins` are folders as of `--plugin`. Raises `lasar_kit.errors.UserError` where there is no such model.
    """
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.serve.recommend import LoadedRun

    return LoadedRun.current(Path(folder), Catalogue.discover([Path(plugin) for plugin in plugins]))
