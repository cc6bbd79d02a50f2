"""Reading text files line by line or as JSON; every fault is a `UserError` that names file and line."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lasar_kit.errors import UserError, nearest_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what the system has against reading `path` into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def require_file(path: Path) -> Path:
    """`path` itself if it is a file; otherwise a `UserError` with the nearest name beside it."""
    with readable(path):
        if path.is_file():
            return path
        if path.is_dir():
            raise UserError(f"{path}: is a folder, expected a file")
        if not path.parent.is_dir():
            raise UserError(f"{path}: no such file, nor the folder {path.parent}")
    raise UserError(f"{path}: no such file{nearest_file(path)}")


def only_file(folder: Path, pattern: str) -> Path:
    """The one file in `folder` that matches `pattern`."""
    with readable(folder):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder, expected one that holds a {pattern}")
        files = sorted(folder.glob(pattern))
    if not files:
        raise UserError(f"{folder}: holds no {pattern}")
    if len(files) > 1:
        names = ", ".join(p.name for p in files)
        hint = f"name one in place of its folder, {folder / files[0].name}"
        raise UserError(f"{folder}: expected one {pattern}, found {len(files)}: {names}; {hint}")
    return files[0]


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if it is gzip by its first two bytes, whatever its name."""
    with require_file(path).open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                # `GzipFile` calls Python for each line, a buffer does not.
                yield io.BufferedReader(_Unpacked(unpacked), 1 << 16)
        else:
            yield raw


class _Unpacked(io.RawIOBase):
    """The bytes of a gzip file as they are unpacked, so that all before a damage come before its error."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Put what one read gives into the buffer, and return its bytes; 0 at the end."""
        view = memoryview(buffer)
        part = self._file.read1(len(view))
        view[: len(part)] = part
        return len(part)


def lines(path: Path, encoding: str | None = None) -> Iterator[tuple[int, str]]:
    """Numbered lines from 1, line ends kept, one in memory at a time.

    `encoding` is the value of an option of that name, None where the caller has no such option.
    """
    number = 0
    with readable(path), opened(path) as file:
        try:
            for number, line in enumerate(_decoded(file, encoding), start=1):
                yield number, line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            place = f"{path}:{number + 1}"
            raise UserError(f"{place}: the gzip data are cut short or damaged ({error})") from None
        except UnicodeError as error:
            raise UserError(f"{path}:{number + 1}: {_undecodable(error, encoding)}") from None
    if number == 0:
        raise UserError(f"{path}: is empty")


def _decoded(file: BinaryIO, encoding: str | None) -> Iterator[str]:
    if encoding is not None and not _is_utf8(encoding):
        decoder, rest = codecs.getincrementaldecoder(encoding)(), ""
        while chunk := file.read(1 << 16):
            *whole, rest = (rest + decoder.decode(chunk)).split("\n")
            yield from (line + "\n" for line in whole)
        if rest := rest + decoder.decode(b"", final=True):
            yield rest
        return
    if first := file.readline():
        yield first.decode("utf-8-sig")
    yield from map(bytes.decode, file)


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _undecodable(error: UnicodeError, encoding: str | None) -> str:
    """What keeps a line from being text."""
    if isinstance(error, UnicodeDecodeError) and (encoding is None or _is_utf8(encoding)):
        hint = "" if encoding is None else "; 'encoding' names another, such as latin-1"
        byte = f"byte {error.start + 1} of the line is 0x{error.object[error.start]:02x}"
        return f"is not UTF-8 text ({byte}){hint}"
    reason = getattr(error, "reason", error)
    return f"is not {encoding} text from here on ({reason}); see the option 'encoding'"


def read_json(path: Path, encoding: str | None = None) -> Any:
    """A JSON file; a key that stands twice in one object is an error. `encoding` as for `lines`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise UserError(f"{path}: the key {twice!r} stands twice in one object")
        return table

    text = "".join(line for _, line in lines(path, encoding))
    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: is not JSON: {error.msg} at column {error.colno}; is the file complete?"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from None
