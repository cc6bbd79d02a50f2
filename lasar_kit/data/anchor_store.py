"""Anchors on disk: hidden states of written reasoning, memory-mapped, by user and position."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from lasar_kit.core.values import Anchors
from lasar_kit.store.artifacts import link_file, read_json, write_json

PROGRESS = "filled.json"
"""How many states of a store that is being made are on disk; a finished one does without."""

TEXTS = "texts.jsonl"
"""The texts that anchors were read from, beside them, in the form that the teacher `jsonl` reads."""

Place = tuple[int, int]
"""A user's row, and the place in that user's sequence of the item to predict."""


def _keys(places: Sequence[Place] | Int[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    rows = np.asarray(places, dtype=np.int64).reshape(-1, 2)
    return rows[:, 0] << 32 | rows[:, 1]


def _reserve(path: Path) -> None:
    """Take the room of a file, or raise `OSError`: one that is written to through memory, and finds the disk
    full, kills its process by SIGBUS."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError:
        path.unlink()
        raise


@dataclass(frozen=True)
class AnchorStore:
    """`states[offsets[n]:offsets[n + 1]]` are the segments of the n-th place, places ascending."""

    keys: Int[np.ndarray, " n"]
    offsets: Int[np.ndarray, " n+1"]
    states: Float[np.ndarray, "segments D"]
    folder: Path

    @classmethod
    def begin(
        cls,
        folder: Path,
        places: Sequence[Place] | Int[np.ndarray, "n 2"],
        counts: Sequence[int] | Int[np.ndarray, " n"],
        width: int,
        dtype: str,
    ) -> AnchorStore:
        """A store to be filled in by `put`, or the one that was begun here; `places` must ascend."""
        keys, offsets = _keys(places), np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])
        assert (np.diff(keys) > 0).all(), "places must ascend"
        begun = cls._begun(folder)
        if begun is not None and np.array_equal(begun.offsets, offsets):
            return begun
        # Of other texts, if any: a machine went down before they were on disk.
        (folder / PROGRESS).unlink(missing_ok=True)
        np.save(folder / "keys.npy", keys)
        np.save(folder / "offsets.npy", offsets)
        shape = (int(offsets[-1]), width)
        states = np.lib.format.open_memmap(folder / "states.npy", mode="w+", dtype=dtype, shape=shape)
        _reserve(folder / "states.npy")
        write_json(folder / PROGRESS, 0)
        return cls(keys, offsets, states, folder)

    @classmethod
    def _begun(cls, folder: Path) -> AnchorStore | None:
        """The store that was begun here; None where there is none, or a machine went down before its files
        were on disk."""
        if not (folder / PROGRESS).is_file():
            return None
        try:
            return cls.open(folder, "r+")
        except (OSError, ValueError, EOFError):
            return None

    @classmethod
    def open(cls, folder: Path, mode: Literal["r", "r+"] = "r") -> AnchorStore:
        """Open what `begin` made, where it lies."""
        keys, offsets = np.load(folder / "keys.npy"), np.load(folder / "offsets.npy")
        return cls(keys, offsets, np.load(folder / "states.npy", mmap_mode=mode), folder)

    @property
    def filled(self) -> int:
        """How many states, from the first on, are on disk."""
        return int(read_json(self.folder / PROGRESS))

    def put(self, states: Float[np.ndarray, "segments D"]) -> None:
        """Store the next states, on disk when this returns; `OverflowError` with the largest that does not
        fit the store's type (or is no number)."""
        largest = float(np.abs(states).max(initial=0))
        if not largest <= float(np.finfo(self.states.dtype).max):
            raise OverflowError(largest)
        first = self.filled
        self.states[first : first + len(states)] = states
        assert isinstance(self.states, np.memmap)
        self.states.flush()
        write_json(self.folder / PROGRESS, first + len(states))

    def link_to(self, folder: Path) -> None:
        """Have a filled store in another folder as well."""
        assert self.filled == len(self.states), (self.filled, len(self.states))
        for name in ("keys.npy", "offsets.npy", "states.npy"):
            link_file(self.folder / name, folder / name)

    def counts(self, places: Sequence[Place]) -> Int[np.ndarray, " n"]:
        """Segments of each place, 0 where it has none."""
        wanted = _keys(places)
        at = np.minimum(np.searchsorted(self.keys, wanted), max(len(self.keys) - 1, 0))
        known = self.keys[at] == wanted if len(self.keys) else np.zeros(len(wanted), dtype=bool)
        return np.where(known, np.diff(self.offsets)[at] if len(self.keys) else 0, 0)

    def batch(
        self, rows: Sequence[Sequence[Place]], branches: int
    ) -> tuple[Anchors, Int[torch.Tensor, "B R"]]:
        """Anchors of each row's places, padded to `branches` places and the longest list of segments."""
        counts = [self.counts(row) for row in rows]
        longest = max((int(count.max()) for count in counts if len(count)), default=0)
        states = np.zeros((len(rows), branches, longest, self.states.shape[1]), dtype=np.float32)
        label = np.zeros((len(rows), branches), dtype=np.int64)
        for b, (row, count) in enumerate(zip(rows, counts, strict=True)):
            label[b, : len(row)] = count
            for r, (key, segments) in enumerate(zip(_keys(row), count, strict=True)):
                if segments:
                    start = self.offsets[np.searchsorted(self.keys, key)]
                    states[b, r, :segments] = self.states[start : start + segments]
        mask = np.arange(longest) < label[..., None]
        return Anchors(torch.from_numpy(states), torch.from_numpy(mask)), torch.from_numpy(label)
