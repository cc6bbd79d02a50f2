"""Artifacts: a folder a stage, written whole or not at all, and found again by the key of what made it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "artifact.json"


def key_of(*parts: object) -> str:
    """A key that changes with any of its JSON-like parts."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader, or a kill, sees the old text or the new one.

    What a kill leaves of the new one goes when the file is written again.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, value: object) -> None:
    """`write_text` of readable JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder; files are hard links where the file system has them, since artifacts never change."""
    shutil.copytree(source, target, copy_function=link_file)


def link_file(source: str | Path, target: str | Path) -> None:
    """Copy a file, as `link_tree` does."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its folder, and what the manifest says of it; it took `seconds` to make."""

    path: Path
    key: str
    report: Mapping[str, Any]
    seconds: float

    @classmethod
    def read(cls, path: Path) -> Artifact | None:
        """The artifact in a folder, or None where there is none that is whole."""
        try:
            manifest = read_json(path / MANIFEST)
            whole = all((path / name).stat().st_size == size for name, size in manifest["files"].items())
            fields = (manifest["key"], manifest["report"], manifest["seconds"])
            return cls(path, *fields) if whole else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


class ArtifactStore:
    """The `stages` folder of a run; the runs beside it serve as its cache."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.folder = run / "stages"

    def find(self, name: str, key: str) -> Artifact | None:
        """A finished stage with this key: this run's own, else that of a run in a folder beside it."""
        own = Artifact.read(self.folder / name)
        if own is not None and own.key == key:
            return own
        beside = sorted(self.run.parent.glob("*/stages/*/" + MANIFEST)) if self.run.parent.is_dir() else []
        for manifest in beside:
            found = Artifact.read(manifest.parent)
            if found is not None and found.key == key:
                return found
        return None

    def adopt(self, name: str, found: Artifact) -> Artifact:
        """Have another run's artifact as this run's own; what a kill left of the work on it goes."""
        shutil.rmtree(self._works(name), ignore_errors=True)
        if found.path == self.folder / name:
            return found
        partial = self._partial(name)
        link_tree(found.path, partial)
        return self._commit(partial, name)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A folder to write a stage in; it is thrown away when the stage fails."""
        partial = self._partial(name)
        partial.mkdir(parents=True)
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def work(self, name: str, key: str, fresh: bool = False) -> Path:
        """Where a stage keeps what the next run with the same key is to find, should this one be cut off.

        The stage makes the folder if it wants one; `fresh` throws away what is in it. All such work on a
        stage goes when the stage is finished.
        """
        folder = self._works(name) / key
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        return folder

    def finish(
        self, partial: Path, name: str, kind: str, key: str, report: Mapping[str, Any], seconds: float
    ) -> Artifact:
        """Write the manifest last, then put the folder in its place."""
        files = {
            str(path.relative_to(partial)): path.stat().st_size
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        manifest = {"type": kind, "key": key, "seconds": round(seconds, 1), "report": report, "files": files}
        write_json(partial / MANIFEST, manifest)
        artifact = self._commit(partial, name)
        shutil.rmtree(self._works(name), ignore_errors=True)
        return artifact

    def _works(self, name: str) -> Path:
        return self.folder / f".{name}.work"

    def _partial(self, name: str) -> Path:
        partial = self.folder / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        return partial

    def _commit(self, partial: Path, name: str) -> Artifact:
        final, old = self.folder / name, self.folder / f".{name}.old"
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            final.rename(old)
        partial.rename(final)
        shutil.rmtree(old, ignore_errors=True)
        artifact = Artifact.read(final)
        assert artifact is not None, final
        return artifact
