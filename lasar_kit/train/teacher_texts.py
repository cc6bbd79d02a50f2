"""Reasoning texts about training prompts: asking the teacher, and keeping what it wrote as it comes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from accelerate import PartialState
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.reasoning.from_dataset import Requests
from lasar_kit.core.samples import Windows
from lasar_kit.data.stage_context import StageContext
from lasar_kit.spec import ComponentConfig


def ask_teacher(
    context: StageContext,
    config: ComponentConfig,
    dataset: Dataset,
    windows: Windows,
    wanted: Sequence[int] | None = None,
    told: dict[str, float] | None = None,
) -> Iterator[tuple[int, str | None]]:
    """`(n, text)` of the n-th prompt, in any order: of all prompts, or of those `wanted`.

    A window's last item is the one to come; the teacher is told of it only if it asks. `told` takes up the
    numbers that it reports.
    """
    wanted = range(len(windows)) if wanted is None else wanted
    told = {} if told is None else told
    env = context.env(device=str(PartialState().device), report=told.update)
    teacher = context.catalogue.build("teacher", config, env)
    asked = windows.at(np.asarray(wanted, dtype=np.int64))
    places = np.column_stack([asked.user, asked.start, asked.stop - 1])
    requests = Requests(dataset, places, with_target=teacher.wants_target)
    with context.screen.progress(f"{context.name}: writing", len(windows)) as tick:
        tick(len(windows) - len(requests))
        for index, text in teacher.write(requests):
            yield wanted[index], text
            tick(1, f"cost {told['cost']:.2f}" if told.get("cost") else "")


class TextLog:
    """Texts of `size` prompts with their segments, in the order in which they were written.

    A line each, `{"prompt": n, "text": …, "segments": […]}`, handed to the system before the next is asked
    for, so that a run that is killed loses none; only where the lines begin is held in memory.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.starts: Int[np.ndarray, " n"] = np.full(size, -1)
        self.counts: Int[np.ndarray, " n"] = np.zeros(size, dtype=np.int64)
        path.touch()
        self._file = path.open("r+b")
        self._file.truncate(self._take_in())

    def __enter__(self) -> TextLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def missing(self) -> list[int]:
        """Prompts that nothing is known of yet, ascending."""
        found: list[int] = np.flatnonzero(self.starts < 0).tolist()
        return found

    def add(self, prompt: int, text: str | None, segments: Sequence[str]) -> None:
        """Keep a prompt's text; None says that there is none."""
        self.starts[prompt], self.counts[prompt] = self._file.seek(0, os.SEEK_END), len(segments)
        line = {"prompt": prompt, "text": text, "segments": list(segments)}
        self._file.write(json.dumps(line).encode("ascii") + b"\n")
        self._file.flush()

    def __getitem__(self, prompt: int) -> tuple[str | None, list[str]]:
        """A prompt's text and segments."""
        self._file.seek(self.starts[prompt])
        line = json.loads(self._file.readline())
        return line["text"], line["segments"]

    def fill(self, answers: Iterator[tuple[int, str | None]], segment: Callable[[str], list[str]]) -> None:
        """Keep all answers of a teacher.

        That there is no text about a prompt may be a failure, so it counts once the teacher is done: where it
        gives up, or the run is cut off, such prompts will be asked about again.
        """
        without: list[int] = []
        for prompt, text in answers:
            if text is None:
                without.append(prompt)
            else:
                self.add(prompt, text, segment(text))
        for prompt in without:
            self.add(prompt, None, [])
        os.fsync(self._file.fileno())

    def _take_in(self) -> int:
        """Learn where the lines begin; the length of the file up to what a kill left unfinished."""
        start = 0
        for line in self._file:
            try:
                row = json.loads(line)
                prompt, count = row["prompt"], len(row["segments"])
                whole = line.endswith(b"\n") and 0 <= prompt < len(self.starts)
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                break
            self.starts[prompt], self.counts[prompt] = start, count
            start += len(line)
        return start
