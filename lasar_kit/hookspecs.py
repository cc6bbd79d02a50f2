"""Every hook a plugin may implement; a module listed under `[hooks] modules` holds its implementations.

Observers get plain numbers, never tensors, and what they raise ends the run. On several processes only the
main one calls them; `lasar_run_stage` is called wherever the stage runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from lasar_kit.catalogue.registry import Entry
    from lasar_kit.spec.plan import PlannedStage

PROJECT = "lasar_kit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def lasar_components() -> list[Entry]:  # type: ignore[empty-body]
    """Components that a registry.toml cannot list, because they are made when the plugin is imported."""


@hookspec(firstresult=True)
def lasar_run_stage(run: Any, stage: PlannedStage, context: Any) -> Any:
    """Run a stage in place of its own code, writing into `context.folder`, and return its report; or return
    None to leave it alone. A wrapper sees every stage from both sides. The sources that an implementation
    stands among are in the key of every stage: an edit makes all anew."""


@hookspec
def lasar_run_start(run: Any) -> None:
    """A run begins; nothing of it has been computed yet."""


@hookspec
def lasar_stage_start(run: Any, stage: PlannedStage) -> None:
    """A stage begins; one whose artifact is found in the cache has no start."""


@hookspec
def lasar_step_end(run: Any, stage: PlannedStage, step: int, metrics: Mapping[str, float]) -> None:
    """A training stage has something to log: `metrics`, as in log.jsonl, after `step` updates.

    Called for each logged update (every `log_every`, and the last), from 1; and for each validation by
    itself, whose metrics are named `validation_…`, of which RL has one at step 0, before its first update.
    """


@hookspec
def lasar_stage_end(run: Any, stage: PlannedStage, report: Mapping[str, Any]) -> None:
    """A stage has left its artifact; `report` holds what it says of itself."""


@hookspec
def lasar_run_end(run: Any, metrics: Mapping[str, Any]) -> None:
    """All stages are done; `metrics` holds what each evaluate stage found, as in metrics.json."""
