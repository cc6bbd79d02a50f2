"""Checkpoints within a training stage: written whole or not at all, and believed only if they are whole.

A checkpoint is a folder named by the number of updates done: `state.safetensors`, `state.json`, the stage's
log so far, `best/` with the best model so far, and `manifest.json` with the SHA-256 of every other file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from lasar_kit.store.artifacts import link_file, link_tree, read_json, sha256, sync, sync_tree
from lasar_kit.store.layout import LOG

MANIFEST, TENSORS, VALUES, BEST = "manifest.json", "state.safetensors", "state.json", "best"
KEEP = 2
"""Checkpoints of a stage that are kept: should the last one be damaged, there is the one before it."""


@dataclass(frozen=True)
class State:
    """Training between two updates: tensors, and what is JSON."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """About how much there is to write."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


@dataclass
class Checkpoints:
    """The checkpoints of one stage in `folder`; one process writes."""

    folder: Path
    _digests: dict[tuple[int, int, int], str] = field(default_factory=dict)

    def write(self, done: int, state: State, stage: Path) -> Path:
        """Keep the state after `done` updates, and what there is of the artifact in the folder `stage`."""
        target, partial = self.folder / f"{done:09d}", self.folder / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, partial / TENSORS)
        (partial / VALUES).write_text(json.dumps(state.values), encoding="utf-8")
        link_tree(stage, partial / BEST)
        if (stage / LOG).is_file():
            (partial / BEST / LOG).unlink()  # the log grows in place, so a link would grow as well
            shutil.copyfile(stage / LOG, partial / LOG)
        files = {str(path.relative_to(partial)): self._digest(path) for path in _files(partial)}
        (partial / MANIFEST).write_text(json.dumps(files, indent=2), encoding="utf-8")
        sync_tree(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        sync(self.folder)
        # Those of later updates are of a course that was given up, as they are damaged.
        kept = [path for path in self.all() if path.name <= target.name][-KEEP:]
        for old in self.all():
            if old not in kept:
                shutil.rmtree(old)
        return target

    def all(self) -> list[Path]:
        """The folders of all checkpoints, the oldest first."""
        return sorted(path for path in self.folder.glob("[0-9]*") if path.is_dir())

    def damage(self, path: Path) -> str | None:
        """Say what is wrong with a checkpoint, None where it is as it was written."""
        try:
            files = read_json(path / MANIFEST)
            there = {str(file.relative_to(path)) for file in _files(path)} - {MANIFEST}
            for name in sorted({*files} | there):
                if name not in there:
                    return f"{name} is missing"
                if name not in files:
                    return f"{name} does not belong to it"
                if self._digest(path / name) != files[name]:
                    return f"{name} is not what was written"
        except (OSError, ValueError, TypeError):
            return f"{MANIFEST} cannot be read"
        return None

    def latest(self) -> tuple[Path | None, list[str]]:
        """The last checkpoint that is whole, None where there is none; and what is wrong with later ones."""
        problems: list[str] = []
        for path in reversed(self.all()):
            problem = self.damage(path)
            if problem is None:
                return path, problems
            problems.append(f"checkpoint {path} is damaged: {problem}")
        return None, problems

    def clear(self) -> None:
        """Throw them all away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _digest(self, path: Path) -> str:
        """SHA-256 of a file; read once, as long as the file is the same."""
        stat = path.stat()
        identity = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if identity not in self._digests:
            self._digests[identity] = sha256(path)
        return self._digests[identity]


def read(path: Path) -> State:
    """The state that a checkpoint holds."""
    return State(load_file(path / TENSORS), read_json(path / VALUES))


def unpack(path: Path, stage: Path) -> None:
    """Put what there was of the artifact back into the stage's folder."""
    shutil.copytree(path / BEST, stage, copy_function=link_file, dirs_exist_ok=True)
    if (path / LOG).is_file():
        shutil.copyfile(path / LOG, stage / LOG)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
