"""The folder of a run: whether one may be written where it is asked for, and by whom."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from lasar_kit.errors import UserError, nearest_file
from lasar_kit.spec.yaml_source import Place, parse
from lasar_kit.store.layout import LOCK

if TYPE_CHECKING:
    from lasar_kit.spec.load import LoadedSpec

AT_WORK = ".lock"
"""An empty file that the run at work in a folder holds; the system lets go of it however the run ends."""

PATIENCE = 3.0
"""Seconds that a run waits for the one before it, which may have been killed just now."""


def check_output(folder: Path, resume: bool = False) -> None:
    """`UserError` unless a folder is that of a run, or empty, or can be made; writes nothing.

    Anything else in it may be what a run replaces (`model/`), and of use to somebody. To `resume`, a run must
    be there.
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
    if resume and LOCK not in others:
        raise UserError(f"--resume: {folder} holds no run to go on with (no {LOCK}); leave the option out")
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"--output {folder}: {above} may not be written to")


def lacking(folder: Path, file: str) -> str:
    """Say why a folder is not that of a run whose `file` is missing: it lacks that, or is not there."""
    return f"it holds no {file}" if folder.exists() else f"there is no such folder{nearest_file(folder)}"


def check_run(folder: Path) -> None:
    """`UserError` unless a folder is that of a run. Quick: what reads the run takes seconds to import."""
    if not (folder / LOCK).is_file():
        raise UserError(f"{folder}: is not the folder of a run, {lacking(folder, LOCK)}")


def check_settings(folder: Path, loaded: LoadedSpec, overrides: Sequence[str]) -> None:
    """`UserError` where `--set` would have the run that a folder holds replaced by one of other settings.

    A spec that was edited and is run again replaces its run, and so do options that change no result.
    """
    held, wanted = _settings(folder / LOCK), _plain(loaded.dump(), folder)
    keys = [override.partition("=")[0] for override in overrides]
    apart = [key for key in keys if _at(held, key) != _at(wanted, key) and not _changes_nothing(key, loaded)]
    if held is not None and apart:
        raise UserError(
            f"{folder} holds a run of other settings ({', '.join(dict.fromkeys(apart))}); give --output"
        )


def _settings(lock: Path) -> Any:
    """The spec that a run was given; None where there is none, or none that can be read."""
    try:
        held = _plain(lock.read_text(encoding="utf-8"), lock.parent)
    except (OSError, UnicodeDecodeError):
        return None
    return held if isinstance(held, Mapping) else None


def _plain(text: str, folder: Path) -> Any:
    node = parse(text, Place(LOCK, folder), [])
    return node.plain() if node else None


def _at(settings: Any, key: str) -> Any:
    """The value of `a.b.c`; None where there is none."""
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def _changes_nothing(key: str, loaded: LoadedSpec) -> bool:
    """Whether no result depends on an option."""
    top, _, rest = key.partition(".")
    stage, _, option = rest.partition(".")
    config = loaded.spec.stages.get(stage) if top == "stages" else None
    return top == "tracking" or (config is not None and option in type(config).unkeyed)


def make_output(folder: Path) -> None:
    """Make the folder, and what is above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be made: {_why(error)}") from None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder, and be the only run that writes there; `UserError` while another one does, and where
    a run would write through a link.

    Where nothing came to be but the lock, it goes again, and the folder with it unless it was there before.
    """
    ours = not folder.exists()
    make_output(folder)
    lock = FileLock(folder / AT_WORK)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise UserError(
            f"--output {folder}: another run is at work there; wait for it, end it, or give another folder"
        ) from None
    except OSError as error:
        raise UserError(f"--output {folder}: cannot be locked: {_why(error)}") from None
    try:
        _check_links(folder)
        yield
    finally:
        with suppress(OSError):  # of what else may have happened to the folder
            if [path.name for path in folder.iterdir()] == [AT_WORK]:
                (folder / AT_WORK).unlink()
                if ours:
                    folder.rmdir()
        lock.release()


def _check_links(folder: Path) -> None:
    """`UserError` for symbolic links through which a run would write outside its folder.

    The folder may be one. So may what a run replaces (a finished stage, the model, a file at the top): then
    the link goes, and what it leads to stays.
    """
    hidden = [path for pattern in (".*.partial", "stages/.*") for path in folder.glob(pattern)]
    places = [folder / "stages", folder / "tracking", *hidden]
    places += [path for place in hidden if not place.is_symlink() for path in place.rglob("*")]
    links = [path.relative_to(folder) for path in places if path.is_symlink()]
    if links:
        told = "is a symbolic link, and a run writes to no folder but its own"
        raise UserError(*(f"--output {folder}: {link} {told}" for link in links))


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
