"""Laws for every hook that a spec lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from lasar_kit.catalogue import Catalogue, hook_parts
from lasar_kit.hookspecs import Run
from lasar_kit.process.screen import Screen
from lasar_kit.spec import DATASET, PlannedStage, RunSpec, StageConfig
from lasar_kit.testing.contract import Broken, Contract, Subject, expect
from lasar_kit.train.config import TrainingConfig

Line = tuple[int, dict[str, float]]
"""A line of a stage's log: after how many updates, and its numbers."""

STAGES = ("ground", "reason")
_NUMBERS = st.floats(0, 10, width=32)
_UPDATES = st.fixed_dictionaries({"epoch": _NUMBERS, "loss": _NUMBERS}, optional={"reward": _NUMBERS})
_VALIDATIONS = st.fixed_dictionaries({"validation_ndcg@10": _NUMBERS, "validation_loss": _NUMBERS})
_LOGS = st.lists(st.one_of(_UPDATES, _VALIDATIONS), min_size=1, max_size=4)
_FALL = [{"epoch": 1.0, "loss": loss, "validation_loss": loss} for loss in (0.9, 0.7, 0.5, 0.3)]


def _numbered(*logs: list[dict[str, float]]) -> list[Line]:
    return list(enumerate((line for log in logs for line in log), start=1))


LOGS = _LOGS.map(_numbered)
TRENDS = st.builds(_numbered, _LOGS, st.sampled_from([_FALL, [*_FALL, *_FALL[::-1]]]))
"""Behind what is drawn a loss falls, and may rise again: what counts such lines comes to a reason."""


def a_run() -> tuple[Run, dict[str, PlannedStage]]:
    """A run of two training stages, and these, as hooks are given them."""
    configs: dict[str, StageConfig] = {name: TrainingConfig(use="sft") for name in STAGES}
    spec = RunSpec.model_construct(name="contract", stages=configs)
    run = Run(spec, Path("runs/contract"), Catalogue({}), Screen(silent=True))
    stages = {name: PlannedStage(name, config, {"dataset": DATASET}) for name, config in configs.items()}
    return run, stages


def attached(component: object) -> Any:
    """The calls that reach a component; `Broken` where it cannot be attached."""
    manager = hook_parts.manager()
    if wrong := hook_parts.register(manager, component):
        raise Broken("; ".join(wrong))
    return manager.hook


def watch(hooks: Any, stage: str, lines: list[Line]) -> list[str | None]:
    """Let a stage pass, with what hooks said to each line of its log."""
    run, stages = a_run()
    given = {"run": run, "stage": stages[stage]}
    said = []
    hooks.lasar_stage_start(**given)
    for step, metrics in lines:
        hooks.lasar_step_end(**given, step=step, metrics=metrics)
        said.append(hooks.lasar_should_stop(**given, step=step, metrics=metrics))
    hooks.lasar_stage_end(**given, report={"updates": len(lines)})
    return said


def _act(component: object, inputs: list[Line]) -> dict[str, Any]:
    hooks, (run, _) = attached(component), a_run()
    hooks.lasar_run_start(run=run)
    said = [watch(hooks, stage, inputs) for stage in STAGES]
    hooks.lasar_run_end(run=run, metrics={"evaluate": {"ndcg@10": 0.5}})
    return {"said": said}


hook = Contract("hook", None, LOGS, lambda case: [(step, dict(line)) for step, line in case], _act)


@hook.check("Mark methods by @hookimpl, by the names and arguments in lasar_kit.hookspecs.", st.none(), 1)
def implements_hooks(subject: Subject, case: None) -> None:
    """It implements a hook or more, all of them by names and arguments that there are."""
    attached(subject.component)


@hook.check("Return None to let the stage go on, or why it is to end.")
def a_reason_is_a_text(subject: Subject, case: list[Line]) -> None:
    """Its reply to a line of the log is None or a text, and no empty one."""
    for said in watch(attached(subject.fresh()), "ground", case):
        expect(said is None or (isinstance(said, str) and said.strip()), f"lasar_should_stop gave {said!r}")


@hook.check("Put everything back in lasar_stage_start.")
def stages_are_judged_alone(subject: Subject, case: list[Line]) -> None:
    """It says to a stage what it would say had there been no stage before it."""
    hooks = attached(subject.fresh())
    watch(hooks, "ground", case)
    after, alone = watch(hooks, "reason", case), watch(attached(subject.fresh()), "reason", case)
    expect(after == alone, f"behind another stage it says {after}, alone {alone}")


@hook.check("Change nothing in lasar_should_stop but what lasar_stage_start puts back.", cases=TRENDS)
def a_stage_that_goes_on_is_judged_as_a_whole(subject: Subject, case: list[Line]) -> None:
    """After a cut it is asked for the earlier lines once more, and then says what it would have said."""
    whole = watch(attached(subject.fresh()), "ground", case)
    run, stages = a_run()
    given: Mapping[str, Any] = {"run": run, "stage": stages["ground"]}
    again = attached(subject.fresh())
    again.lasar_run_start(run=run)
    again.lasar_stage_start(**given)
    for step, metrics in case[:-1]:
        again.lasar_should_stop(**given, step=step, metrics=metrics)
    step, metrics = case[-1]
    again.lasar_step_end(**given, step=step, metrics=metrics)
    said = again.lasar_should_stop(**given, step=step, metrics=metrics)
    expect(said == whole[-1], f"after a cut it says {said!r}, in one go {whole[-1]!r}")
