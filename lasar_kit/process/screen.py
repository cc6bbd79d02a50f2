"""The screen while a run works: progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Tick(Protocol):
    """Hears of progress: `amount` more units are done; `note` (a loss, a rate) is shown behind the bar."""

    def __call__(self, amount: int, note: str = "") -> None: ...


class Screen:
    """Prints for one process; a silent one serves the other ranks."""

    def __init__(self, silent: bool = False) -> None:
        # Without emoji: `:key:` in a title is no picture.
        self.console = Console(quiet=silent, highlight=False, emoji=False)
        if not self.console.is_terminal:  # a file has no width of its own
            self.console = Console(quiet=silent, highlight=False, emoji=False, width=100)

    def print(self, *values: object) -> None:
        """Print lines, tables or panels."""
        self.console.print(*values)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Tick]:
        """A bar with elapsed and remaining time; nothing where the output is not a terminal."""
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]left"),
            TimeRemainingColumn(),
        )
        shown = self.console.is_terminal and not self.console.quiet
        with Progress(*columns, console=self.console, transient=True, disable=not shown) as bars:
            task = bars.add_task(title, total=total, note="")

            def tick(amount: int, note: str = "") -> None:
                bars.update(task, advance=amount, note=note or bars.tasks[0].fields["note"])

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


def quiet_libraries() -> None:
    """Keep the progress bars of libraries off the screen, where ours tell more."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


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
