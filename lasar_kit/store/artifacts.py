"""Artifacts: a folder a stage, written whole or not at all, and found again by the key of what made it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
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


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have a file, or a folder's names, on the disk for good."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """`sync` a folder and all that is in it."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def remove(path: Path) -> None:
    """Remove a folder, or a link to one, whose files stay; nothing where there is neither."""
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    half = target.with_name(f".{target.name}.partial")
    shutil.copy2(source, half)
    half.replace(target)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder's files, with their times: what a user does to the copy harms nothing else."""
    for path in _files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder within a stage's own; files are hard links where the file system has them."""
    shutil.copytree(source, target, copy_function=link_file)


def link_file(source: str | Path, target: str | Path) -> None:
    """Copy a file, as `link_tree` does."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its folder, and what the manifest says of it; it took `seconds` to make, by what
    `made` says (nothing where an older version made it)."""

    path: Path
    key: str
    report: Mapping[str, Any]
    seconds: float
    made: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Artifact | None:
        """The artifact in a folder, or None where there is none whose files have their sizes."""
        try:
            manifest = read_json(path / MANIFEST)
            whole = all((path / name).stat().st_size == size for name, size in manifest["files"].items())
            fields = (manifest["key"], manifest["report"], manifest["seconds"])
            return cls(path, *fields, manifest.get("made", {})) if whole else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def damage(self) -> str | None:
        """Name what is not as it was written, None where all is; read every file."""
        try:
            manifest = read_json(self.path / MANIFEST)
            changed = [
                name for name in manifest["files"] if sha256(self.path / name) != manifest["sha256"][name]
            ]
        except (OSError, ValueError, KeyError, TypeError):
            return f"{MANIFEST} cannot be read, or not what it names"
        return f"{changed[0]} is not what was written" if changed else None


class ArtifactStore:
    """The `stages` folder of a run; the runs beside it serve as its cache.

    `wanted` are the keys of stages still to come: an artifact of theirs whose place another stage takes is
    put aside until the run is done. `tell` hears of artifacts that are not reused because they are damaged.
    """

    def __init__(self, run: Path, tell: Callable[[str], None] = lambda line: None) -> None:
        self.run = run
        self.folder = run / "stages"
        self.wanted: frozenset[str] = frozenset()
        self._tell = tell

    @cached_property
    def _places(self) -> dict[str, list[Path]]:
        """Where artifacts are said to be, by key: this run's own, then those of runs in folders beside it.

        Looked up once; a run beside may change meanwhile, so each is read again when it is asked for.
        """
        beside = sorted(self.run.parent.glob("*/stages/*/" + MANIFEST)) if self.run.parent.is_dir() else []
        places: dict[str, list[Path]] = {}
        for manifest in dict.fromkeys([*sorted(self.folder.glob("*/" + MANIFEST)), *beside]):
            try:
                places.setdefault(str(read_json(manifest)["key"]), []).append(manifest.parent)
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return places

    def _candidates(self, name: str, key: str) -> Iterator[Artifact]:
        """Finished stages with this key, that of this name first; what they hold is not looked at."""
        places = self._places.get(key, [])
        for path in sorted(places, key=lambda path: path != self.folder / name):
            artifact = Artifact.read(path)
            if artifact is not None and artifact.key == key:
                yield artifact

    def has(self, key: str) -> bool:
        """Whether an artifact of this key is said to be there; what it holds is not looked at."""
        return key in self._places

    def find(self, name: str, key: str) -> Artifact | None:
        """A finished stage with this key that is as it was written: this run's own, else one beside it."""
        return next(
            (artifact for artifact in self._candidates(name, key) if self._sound(artifact, artifact)), None
        )

    def adopt(self, name: str, key: str) -> tuple[Artifact, Path] | None:
        """Have an artifact of this key as this run's own: it, and where it was; None where there is none.

        What a kill left of the work on the stage goes.
        """
        for artifact in self._candidates(name, key):
            own = artifact if artifact.path == self.folder / name else self._copied(artifact, name)
            if own is not None and self._sound(own, artifact):
                if own is not artifact:
                    own = self._commit(own.path, name)
                shutil.rmtree(self._works(name), ignore_errors=True)
                return own, artifact.path
        return None

    def _copied(self, artifact: Artifact, name: str) -> Artifact | None:
        """A copy that is yet to be committed; None where the artifact was replaced meanwhile."""
        partial = self._partial(name)
        try:
            copy_tree(artifact.path, partial)
        except (FileNotFoundError, PermissionError):
            return None
        copy = Artifact.read(partial)
        return copy if copy is not None and copy.key == artifact.key else None

    def _sound(self, artifact: Artifact, origin: Artifact) -> bool:
        """Whether an artifact is as it was written; tells of its origin if not."""
        if damage := artifact.damage():
            self._tell(f"{origin.path} is damaged: {damage}; it is not reused")
        return not damage

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
        self,
        partial: Path,
        name: str,
        kind: str,
        key: str,
        report: Mapping[str, Any],
        seconds: float,
        made: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Write the manifest last, then put the folder in its place; what a run that was cut off would go on
        from goes when that is on the disk for good."""
        files = {str(path.relative_to(partial)): path for path in _files(partial)}
        manifest = {
            "type": kind,
            "key": key,
            "seconds": round(seconds, 1),
            "made": dict(made or {}),
            "report": report,
            "files": {name: path.stat().st_size for name, path in files.items()},
            "sha256": {name: sha256(path) for name, path in files.items()},
        }
        write_json(partial / MANIFEST, manifest)
        works = self._works(name)
        if works.is_dir():
            sync_tree(partial)
        artifact = self._commit(partial, name)
        shutil.rmtree(works, ignore_errors=True)
        return artifact

    def tidy(self) -> None:
        """Throw away what was put aside for stages of this run, now that all are done."""
        for aside in self.folder.glob(".*.kept"):
            remove(aside)

    def _works(self, name: str) -> Path:
        return self.folder / f".{name}.work"

    def _partial(self, name: str) -> Path:
        partial = self.folder / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        return partial

    def _commit(self, partial: Path, name: str) -> Artifact:
        final, old = self.folder / name, self.folder / f".{name}.old"
        there = Artifact.read(final)
        if there is not None and there.key in self.wanted:
            aside = self.folder / f".{there.key}.kept"
            self._places.setdefault(there.key, []).append(aside)
        else:
            aside = old
        remove(aside)
        if final.exists() or final.is_symlink():
            final.rename(aside)
        partial.rename(final)
        remove(old)
        artifact = Artifact.read(final)
        assert artifact is not None, final
        self._places.setdefault(artifact.key, []).append(final)
        return artifact
