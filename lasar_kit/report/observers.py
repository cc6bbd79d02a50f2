"""Observers of a run: the log, and the lines on the screen. Both are ordinary hook implementations."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from lasar_kit.hookspecs import hookimpl
from lasar_kit.process.screen import duration
from lasar_kit.report.formats import as_rich
from lasar_kit.report.table import metrics_grids
from lasar_kit.store.layout import LOG

if TYPE_CHECKING:
    from lasar_kit.hookspecs import Run
    from lasar_kit.spec.plan import PlannedStage
    from lasar_kit.store.artifacts import Artifact


class JsonLog:
    """`log.jsonl`: a line a logged step, as it happens; a stage's lines stay with its artifact too."""

    def __init__(self, run: Path) -> None:
        self.path = run / LOG
        if self.path.is_symlink():
            self.path.unlink()
        self.path.write_text("", encoding="utf-8")

    @hookimpl
    def lasar_step_end(self, run: Run, stage: PlannedStage, step: int, metrics: Mapping[str, float]) -> None:
        line = json.dumps({"stage": stage.name, "step": step, **metrics}) + "\n"
        for path in (self.path, run.writing / LOG):
            with path.open("a", encoding="utf-8") as file:
                file.write(line)


def log_again(run: Path, stage: Path) -> None:
    """Take over the lines of a stage that is not run again."""
    if (stage / LOG).is_file():
        with (run / LOG).open("a", encoding="utf-8") as file:
            file.write((stage / LOG).read_text(encoding="utf-8"))


def read_log(stage: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The steps that a stage has logged, each with its metrics, in order."""
    if (stage / LOG).is_file():
        for line in (stage / LOG).read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            del values["stage"]
            yield values.pop("step"), values


class Narrator:
    """A line when a stage begins and one when it ends, and, if wanted, the tables at the end."""

    def __init__(self, tables: bool = True) -> None:
        self.tables = tables
        self.started = 0.0

    @hookimpl
    def lasar_stage_start(self, run: Run, stage: PlannedStage) -> None:
        self.started = time.monotonic()
        use = "" if stage.config.use == stage.name else f" [dim]{escape(stage.config.use)}[/dim]"
        run.screen.print(f"[bold]{stage.name}[/bold]{use}")

    @hookimpl
    def lasar_step_end(self, run: Run, stage: PlannedStage, step: int, metrics: Mapping[str, float]) -> None:
        numbers = [
            f"{shown.upper() if '@' in shown else shown} {value:.4f}"
            for name, value in metrics.items()
            if (shown := name.removeprefix("validation_")) != name
        ]
        if numbers:
            run.screen.print(f"  update {step:,}: validation {escape(', '.join(numbers))}")

    @hookimpl
    def lasar_stage_end(self, run: Run, stage: PlannedStage, report: Mapping[str, Any]) -> None:
        run.screen.print(f"  done in {duration(time.monotonic() - self.started)}")

    @hookimpl
    def lasar_run_end(self, run: Run, metrics: Mapping[str, Any]) -> None:
        for grid in metrics_grids(metrics) if self.tables else ():
            run.screen.print(as_rich(grid))
        run.screen.print(escape(spent(run.artifacts)))
        run.screen.print(f"results in {escape(str(run.output))}")


def spent(artifacts: Mapping[str, Artifact]) -> str:
    """A line on where time went, and the most memory that any stage held."""
    total = sum(artifact.seconds for artifact in artifacts.values())
    long = [
        f"{name} {duration(artifact.seconds)}"
        for name, artifact in artifacts.items()
        if artifact.seconds >= total / 50
    ]
    memory = max((artifact.made.get("memory", 0) for artifact in artifacts.values()), default=0)
    peak = f"; at most {memory:,} MiB" if memory else ""
    return f"{duration(total)} in all: {', '.join(long)}{peak}"
