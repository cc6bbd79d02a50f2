"""Every hook a plugin may implement, by functions marked `@hookimpl` that take those arguments they want.

They are functions of a module listed under `[hooks] modules` of a registry.toml, which serve every run; or
methods of a component of kind `hook`, built as `Component(config, env)` for the runs whose spec lists it
under `hooks:`, with options of its own. Hooks get plain numbers, never tensors, and what they raise ends the
run. On several processes only the main one calls them; `lasar_run_stage` is called wherever the stage runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.catalogue.registry import Entry
    from lasar_kit.data.stage_context import StageContext
    from lasar_kit.process.screen import Screen
    from lasar_kit.spec.plan import PlannedStage
    from lasar_kit.spec.run_spec import RunSpec
    from lasar_kit.store.artifacts import Artifact

PROJECT = "lasar_kit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass
class Run:
    """A run in progress; hooks read it and change nothing.

    `output` is its folder, `writing` the folder of the stage at work, and `artifacts` are those of the stages
    that are done, by name. `screen.print` shows a line.
    """

    spec: RunSpec
    output: Path
    catalogue: Catalogue
    screen: Screen
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    writing: Path = Path()


@hookspec
def lasar_components() -> list[Entry]:  # type: ignore[empty-body]
    """Components that a registry.toml cannot list, because they are made when the plugin is imported.

    Asked of modules alone.
    """


@hookspec(firstresult=True)
def lasar_run_stage(run: Run, stage: PlannedStage, context: StageContext) -> Mapping[str, Any] | None:
    """Run a stage in place of its own code, writing into `context.folder`, and return its report; or return
    None to leave it alone. A wrapper sees every stage from both sides. The sources that an implementation
    stands among, and its options, are in the key of every stage: an edit makes all anew."""


@hookspec
def lasar_run_start(run: Run) -> None:
    """A run begins; nothing of it has been computed yet."""


@hookspec
def lasar_stage_start(run: Run, stage: PlannedStage) -> None:
    """A stage begins; one whose artifact is found in the cache has no start."""


@hookspec
def lasar_step_end(run: Run, stage: PlannedStage, step: int, metrics: Mapping[str, float]) -> None:
    """A training stage has something to log: `metrics`, as in log.jsonl, after `step` updates.

    Called for each logged update (every `log_every`, and the last), from 1; and for each validation by
    itself, whose metrics are named `validation_…`, of which RL has one at step 0, before its first update.
    """


@hookspec(firstresult=True)
def lasar_should_stop(run: Run, stage: PlannedStage, step: int, metrics: Mapping[str, float]) -> str | None:
    """Return why a training stage is to end here, in a few words, or None to let it go on.

    Asked behind each `lasar_step_end`, in the order of the spec until one has a reason. The stage then ends
    as if out of patience, on all processes: it is validated once more if it was not after this update, and
    the best model is kept; its report has the reason as `stopped`. A stage that goes on after a cut asks
    again for every line it had logged, in order, and passes over the answers, so that what an implementation
    remembers since `lasar_stage_start` is what it was. The sources that it stands among, and its options, are
    in the key of every stage that it might end.
    """


@hookspec
def lasar_stage_end(run: Run, stage: PlannedStage, report: Mapping[str, Any]) -> None:
    """A stage has left its artifact; `report` holds what it says of itself."""


@hookspec
def lasar_run_end(run: Run, metrics: Mapping[str, Any]) -> None:
    """All stages are done; `metrics` holds what each evaluate stage found, as in metrics.json."""


HOOKS = tuple(name for name, value in list(globals().items()) if hasattr(value, f"{PROJECT}_spec"))
"""The names of all hooks."""

SHAPING = ("lasar_run_stage", "lasar_should_stop")
"""The hooks by which a plugin may change what a stage leaves; all others only watch."""
