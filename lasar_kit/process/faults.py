"""Faults of a machine, told in one line: no memory, no room on the disk, numbers that blew up."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from lasar_kit.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_WORDS = ("no space left on device", "disk quota exceeded", "file too large")
"""Of errors that libraries make of the system's."""
MEMORY_WORDS = ("can't allocate memory", "not enough memory", "cannot allocate memory")


class NotFinite(ArithmeticError):
    """A loss or a gradient is NaN or infinite; the update was not made."""


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: an accelerator's, or the machine's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in MEMORY_WORDS)


def disk_full(error: BaseException) -> bool:
    """Whether a file could not be written for want of room."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return isinstance(error, Exception) and any(words in str(error).lower() for words in FULL_WORDS)


@contextmanager
def memory(place: str, advice: str) -> Iterator[None]:
    """Say where memory ran out, and what to do about it."""
    try:
        yield
    except Exception as error:
        if out_of_memory(error):
            raise UserError(f"{place}: out of memory; {advice}") from error
        raise


@contextmanager
def disk(place: str, folder: Path, needed: int = 0) -> Iterator[None]:
    """Say where there was no room for files, of `needed` bytes if that is known, and how much there is."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not disk_full(error):
            raise
        wants = f"{needed:,} bytes needed, " if needed else ""
        raise UserError(
            f"{place}: no room to write in {folder} ({wants}{_free(folder):,} bytes free): {_reason(error)}"
        ) from error


def _free(folder: Path) -> int:
    """Room on the disk of a folder, which may be gone already."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text.splitlines()[0].lower()
