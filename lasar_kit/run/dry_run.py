"""Says what a run would do, what it would reuse, and what it would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lasar_kit.process.screen import Screen, duration
from lasar_kit.run.estimates import Estimate, Estimates, summary
from lasar_kit.run.runner import contents_of, steps_of, store_of

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec.load import LoadedSpec


def dry_run(loaded: LoadedSpec, catalogue: Catalogue, output: Path, use_cache: bool) -> None:
    """Print the resolved spec, what each stage would reuse, and what the others may take; writes nothing."""
    screen = Screen()
    screen.console.print(loaded.dump(), markup=False)
    table = Table(title=f"Stages of {escape(str(output))}")
    for heading in ("stage", "use", "reads", "would"):
        table.add_column(heading)
    store, left = store_of(output, screen), dict[str, str]()
    past, todo = Estimates(output), dict[str, Estimate | None]()
    for step in steps_of(loaded, catalogue, contents_of(output, screen).of):
        name, reads = step.stage.name, ", ".join(dict.fromkeys(step.stage.inputs.values()))
        stored = store.find(name, step.key) if use_cache else None
        if stored is not None:
            would = f"reuse {stored.path}"
        elif use_cache and step.key in left:
            would = f"reuse what {left[step.key]} leaves"
        else:
            would = "go on" if use_cache and store.work(name, step.key).is_dir() else "run"
            todo[name] = estimate = past.of(step.stage, loaded.spec)
            would += f" (about {duration(estimate.seconds)})" if estimate is not None else ""
        left.setdefault(step.key, name)
        table.add_row(name, escape(step.stage.config.use), reads, escape(would))
    screen.print(table)
    if todo:
        screen.print(escape(summary(todo)))
