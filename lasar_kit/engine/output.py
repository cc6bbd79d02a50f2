"""The folder of a run: whether one may be written where it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lasar_kit.errors import UserError

LOCK = "spec.lock.yaml"
"""The resolved spec, which the folder of every run holds from its start."""


def check_output(folder: Path) -> None:
    """`UserError` unless a folder is that of a run, or empty, or can be made; writes nothing.

    Anything else in it may be what a run replaces (`model/`), and of use to somebody.
    """
    try:
        there = folder.stat() and sorted(folder.iterdir())
    except FileNotFoundError:
        there = []
    except NotADirectoryError:
        raise UserError(f"--output {folder}: is not a folder, nor can it be one") from None
    except (OSError, ValueError) as error:
        raise UserError(f"--output {folder}: {_why(error)}") from None
    # Trackers begin before the lock is written.
    others = [path.name for path in there if not path.name.startswith(".") and path.name != "tracking"]
    if others and LOCK not in others:
        raise UserError(
            f"--output {folder}: holds {others[0]!r} but no {LOCK}, so it is not the folder of a run; "
            "give one that is empty or new"
        )
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"--output {folder}: {above} may not be written to")


def make_output(folder: Path) -> None:
    """Make the folder, and what is above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be made: {_why(error)}") from None


@contextmanager
def reading_run(folder: Path) -> Iterator[None]:
    """Turns whatever reading a run's own files raises into a `UserError`: they are cut off or edited, or of
    another version of the kit, and no list of exceptions would hold all that may come of that."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(
            f"{folder}: a file of this run is missing or damaged ({what}); run the spec again"
        ) from error


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
