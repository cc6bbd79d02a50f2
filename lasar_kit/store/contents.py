"""What the files that a run reads hold, as digests; a large file that nobody touched is not read again."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from lasar_kit.errors import UserError
from lasar_kit.store.artifacts import read_json, sha256, write_json

FILES = ".files.json"
"""In the folder of a run: what the large files that it read hold."""

LARGE = 2**20
"""Bytes from which on a digest is remembered; to read fewer takes no longer than to look it up."""

SLOW = 2**30
"""Bytes from which on it is said that a file is read: that takes a second or more."""

Untouched = tuple[str, ...]
"""A file's path, size, times and inode. The second time is that of any change, by the system's own clock:
`cp -p` and `rsync -t` set the first one, no program sets this."""


class Contents:
    """Digests of files. A large one is read once a process at most, and not at all where this run, or one in
    a folder beside it, has read it as it lies there.

    `tell` hears of those that take a while. Nothing is written but by `save`.
    """

    _seen: ClassVar[dict[Untouched, str]] = {}

    def __init__(self, run: Path, tell: Callable[[str], None] = lambda line: None) -> None:
        self._run, self._tell = run, tell
        self._asked: dict[Untouched, str] = {}

    def of(self, path: Path) -> str:
        """SHA-256 of a file; `UserError` for one that cannot be read."""
        try:
            stat = path.stat()
            if stat.st_size < LARGE:
                return sha256(path)
            numbers = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            file = (str(path), *map(str, numbers))
            known = self._seen.get(file) or self._remembered.get(file)
            self._seen[file] = self._asked[file] = known or self._read(path, stat.st_size)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
        return self._asked[file]

    def save(self) -> None:
        """Leave what was asked for of large files in the run's folder, for the next run to find."""
        table = self._run / FILES
        if self._asked and self._asked != _digests(table):
            write_json(table, [[*file, digest] for file, digest in self._asked.items()])

    def _read(self, path: Path, size: int) -> str:
        if size >= SLOW:
            self._tell(f"reading {path} ({size / 1e9:.1f} GB), to tell whether it is what it was")
        return sha256(path)

    @cached_property
    def _remembered(self) -> dict[Untouched, str]:
        tables = [self._run / FILES, *self._run.parent.glob(f"*/{FILES}")]
        return {file: digest for table in tables for file, digest in _digests(table).items()}


def _digests(table: Path) -> dict[Untouched, str]:
    """What a table holds; nothing where it is missing or damaged."""
    try:
        return {tuple(map(str, file)): str(digest) for *file, digest in read_json(table)}
    except (OSError, ValueError, TypeError):
        return {}
