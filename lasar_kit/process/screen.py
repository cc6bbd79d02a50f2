"""The screen while a run works: progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Tick(Protocol):
    """Hears of progress: `amount` more units are done; `note` (a loss, a rate) is shown behind the bar."""

    def __call__(self, amount: int, note: str = "") -> None: ...


@dataclass
class Whole:
    """A whole run: what its bar is called, about how long each stage takes, and the stage at work, from 0."""

    label: str
    shares: Sequence[float]
    stage: int = 0
    started: float = field(default_factory=time.monotonic)

    def done(self, part: float) -> float:
        """How much of it all is done, in units of `shares`, with so large a part of the stage at work."""
        return sum(self.shares[: self.stage]) + self.shares[self.stage] * part

    @property
    def place(self) -> str:
        return f"stage {self.stage + 1} of {len(self.shares)}"


class _Count(ProgressColumn):
    """How many units of a stage are done, and which stage of a run it is."""

    def render(self, task: Task) -> Text:
        place = task.fields.get("place")
        return Text(place or f"{int(task.completed):,}/{int(task.total or 0):,}", style="progress.download")


class Screen:
    """Prints for one process; a silent one serves the other ranks."""

    def __init__(self, silent: bool = False) -> None:
        # Without emoji: `:key:` in a title is no picture.
        self.console = Console(quiet=silent, highlight=False, emoji=False)
        if not self.console.is_terminal:  # a file has no width of its own
            self.console = Console(quiet=silent, highlight=False, emoji=False, width=100)
        self.whole: Whole | None = None

    @property
    def shows_bars(self) -> bool:
        """Whether it is a terminal that somebody sees."""
        return self.console.is_terminal and not self.console.quiet

    def print(self, *values: object) -> None:
        """Print lines, tables or panels."""
        self.console.print(*values)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Tick]:
        """A bar with elapsed and remaining time, and one of the whole run beneath it where that is known;
        nothing where the output is not a terminal."""
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            _Count(),
            TextColumn("[dim]{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True, disable=not self.shows_bars) as bars:
            task = bars.add_task(title, total=total, note="")
            above = self._above(bars)

            def tick(amount: int, note: str = "") -> None:
                bars.update(task, advance=amount, note=note or bars.tasks[0].fields["note"])
                if above is not None and self.whole is not None:
                    part = min(bars.tasks[0].completed / max(total, 1), 1.0)
                    bars.update(above, completed=self.whole.done(part))

            yield tick

    @contextmanager
    def reported(self, title: str) -> Iterator[Callable[[Mapping[str, float]], None]]:
        """A bar for work that tells how far it is (`done` of `total`, perhaps a `loss`), once it does."""
        with ExitStack() as shown:
            ticks: list[Tick] = []
            done = 0

            def report(numbers: Mapping[str, float]) -> None:
                nonlocal done
                if not {"done", "total"}.issubset(numbers):
                    return
                if not ticks:
                    ticks.append(shown.enter_context(self.progress(title, int(numbers["total"]))))
                note = f"loss {numbers['loss']:.4g}" if "loss" in numbers else ""
                ticks[0](int(numbers["done"]) - done, note)
                done = int(numbers["done"])

            yield report

    def _above(self, bars: Progress) -> TaskID | None:
        """The bar of the whole run, from its beginning on."""
        if self.whole is None or len(self.whole.shares) < 2:
            return None
        whole = self.whole
        task = bars.add_task(whole.label, total=sum(whole.shares), note="", place=whole.place)
        bars.update(task, completed=whole.done(0.0))
        bars.tasks[-1].start_time = whole.started
        return task


def quiet_libraries() -> None:
    """Keep the progress bars of libraries off the screen, where ours tell more."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def duration(seconds: float) -> str:
    """A time for reading.

    >>> duration(7), duration(75), duration(7260)
    ('7 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
