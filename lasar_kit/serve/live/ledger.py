"""The log of what was added to a run's catalogue and withdrawn from it: what is in it has happened.

A line a change, each behind its checksum. A line is on the disk before anybody is told that it is done, so
a kill leaves at most the beginning of one that nobody was told of. Many processes may read; who writes holds
the lock, and has read all that is there.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from lasar_kit.errors import UserError

PATIENCE = 30.0
"""Seconds that a writer waits for another."""
FORMAT = 1


@dataclass(frozen=True)
class Added:
    """An item that came later: its fields, nothing that is empty, and its codes."""

    fields: dict[str, str]
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Change:
    """What one request did: items that came, or came back, or were withdrawn, by raw id."""

    added: Sequence[Added] = ()
    restored: Sequence[str] = ()
    withdrawn: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Nothing that is empty."""
        whole = {
            "add": [{"item": one.fields, "codes": list(one.codes)} for one in self.added],
            "restore": list(self.restored),
            "withdraw": list(self.withdrawn),
        }
        return {name: value for name, value in whole.items() if value}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Change:
        """What `as_json` gave."""
        added = [Added(one["item"], tuple(one["codes"])) for one in value.get("add", ())]
        return cls(added, value.get("restore", ()), value.get("withdraw", ()))


@dataclass
class State:
    """All that a log says, put together."""

    added: list[Added] = field(default_factory=list)
    withdrawn: dict[str, None] = field(default_factory=dict)
    """Ids in the order in which they went."""

    def take(self, change: Change) -> None:
        """One more change."""
        self.added += change.added
        self.withdrawn |= dict.fromkeys(change.withdrawn)
        for name in change.restored:
            self.withdrawn.pop(name, None)


class Unwritable(UserError):
    """A change that could not be written, and did not happen: the request may be made again."""


class Ledger:
    """The log of one run, as far as this process has read it, and the state that it leads to.

    `key` tells the items and semantic IDs that it goes on from. A log that has grown long is put together:
    one that says the same in a few lines takes its place, in one step.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.state = State()
        self._file: BinaryIO | None = None
        self._end = 0
        """Behind the last line that was read."""
        self._seen: tuple[int, int, int] | None = None
        """Which file was read last, and its size then: `stale` may be asked by another thread than reads."""
        self._lines = 0
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._seen = None

    def stale(self) -> bool:
        """Whether there may be more to read; costs a look at the folder."""
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        return (now.st_ino, now.st_dev, now.st_size) != self._seen

    def read(self) -> bool:
        """Take in what was written since, and return whether anything was. `UserError` for a log of other
        semantic IDs, or one that is damaged before its last line; asked again, it says so again."""
        try:
            return self._read_on()
        except UserError:
            self._close()
            raise

    def _read_on(self) -> bool:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        if self._file is None or not self._is(now):
            self._open()
        assert self._file is not None
        mine = os.fstat(self._file.fileno())
        self._file.seek(self._end)
        *lines, rest = self._file.read(mine.st_size - self._end).split(b"\n")
        self._seen = (mine.st_ino, mine.st_dev, mine.st_size)
        before = self._lines
        for place, line in enumerate(lines):
            value = _checked(line)
            if value is None:
                if rest or place + 1 < len(lines):
                    raise UserError(f"{self.path}:{self._lines + 1}: is damaged, and more follows")
                break  # it is being written, or was when its writer ended
            self._end += len(line) + 1
            self._lines += 1
            self._take(value)
        return self._lines > before

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who writes, with all read that is there. `Unwritable` where others take too long,
        or the folder cannot be written to."""
        try:
            self._lock.acquire(timeout=PATIENCE)
        except Timeout:
            raise Unwritable(f"{self.path}: others have been writing for {PATIENCE:.0f} s") from None
        except OSError as error:
            raise Unwritable(f"{self.path}: cannot be locked: {error.strerror or error}") from None
        try:
            self.read()
            yield
        finally:
            self._lock.release()

    def append(self, change: Change) -> None:
        """Write a change, within `writing`: it is on the disk and part of the state when this returns, and
        neither if it raises `Unwritable`."""
        try:
            if self._file is None:
                self._replace([])
            self._write(_line(change.as_json()))
        except OSError as error:
            raise Unwritable(f"{self.path}: cannot be written: {error.strerror or error}") from None
        self.read()

    def put_together(self, most: int) -> None:
        """Replace a log of more than `most` lines by one that says the same in two, within `writing`; where
        the disk has no room for it the long one stays."""
        if self._lines > most:
            with suppress(OSError):
                self._replace([Change(self.state.added, (), tuple(self.state.withdrawn)).as_json()])

    def _is(self, now: os.stat_result) -> bool:
        """Whether the open file is still the one of that name; an open file's number is given to no other."""
        assert self._file is not None
        mine = os.fstat(self._file.fileno())
        return (mine.st_ino, mine.st_dev) == (now.st_ino, now.st_dev)

    def _open(self) -> None:
        """From the beginning."""
        self._close()
        self._file = self.path.open("rb")
        self._end = self._lines = 0
        self.state = State()

    def _take(self, value: dict[str, Any]) -> None:
        if self._lines == 1:
            if value.get("format") != FORMAT:
                raise UserError(f"{self.path}:1: is not of this version of lasar-kit")
            if value.get("sids") != self.key:
                raise UserError(
                    f"{self.path}: belongs to other semantic IDs than this run now has; move it away, and "
                    "add its items again"
                )
            return
        self.state.take(Change.of_json(value))

    def _write(self, line: bytes) -> None:
        with self.path.open("r+b") as file:
            file.truncate(self._end)  # what a kill left of a line that nobody was told of
            file.seek(self._end)
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._end)
                raise

    def _replace(self, values: Sequence[dict[str, Any]]) -> None:
        """Write a log aside, and put it in its place in one step."""
        aside = self.path.with_name(f".{self.path.name}.partial")
        with aside.open("wb") as file:
            file.writelines(map(_line, [{"format": FORMAT, "sids": self.key}, *values]))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name, too, is to outlive a power cut
        finally:
            os.close(folder)
        self.read()


def _line(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _checked(line: bytes) -> dict[str, Any] | None:
    """What a line says; None for one that is not as it was written."""
    mark, _, text = line.partition(b" ")
    if mark != b"%08x" % zlib.crc32(text):
        return None
    value: dict[str, Any] = json.loads(text)
    return value
