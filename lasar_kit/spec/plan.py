"""Which stage reads what from which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lasar_kit.errors import UserError, nearest
from lasar_kit.spec.run_spec import DATASET, RunSpec
from lasar_kit.spec.stage import StageConfig

SIDS = "sids"
"""The type of artifact that holds semantic IDs."""

Where = Callable[[tuple[str, ...]], str]
"""Where a key of the spec was written, as the beginning of a message."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage with the stages it reads from: `inputs` maps artifact type to stage name.

    The artifact of type `dataset` comes from the stage `dataset`, which every run begins with.
    """

    name: str
    config: StageConfig
    inputs: dict[str, str]


class _Planner:
    """Resolves stages one after another.

    `lineage[s]` is the latest artifact of each type that stage s and those before it in its line left;
    `ancestors[s]` are all the stages that it was made from.
    """

    def __init__(self) -> None:
        self.produces = {DATASET: DATASET}
        self.lineage: dict[str, dict[str, str]] = {DATASET: {DATASET: DATASET}}
        self.ancestors: dict[str, set[str]] = {DATASET: set()}

    def nearest_of(self, artifact: str) -> str | None:
        names = [name for name, produced in self.produces.items() if produced == artifact]
        return names[-1] if names else None

    def inputs(self, name: str, config: StageConfig) -> dict[str, str]:
        """Return the stage behind each artifact that a stage reads; raise `ValueError` with what is wrong.

        With `from`, the line of that stage comes first, and optional inputs come from nowhere else, so
        that a stage can be told not to continue an earlier one.
        """
        needed = (*config.consumes, *config.needs)
        reads = tuple(dict.fromkeys((*needed, *config.accepts)))
        chosen: dict[str, str] = {}
        if config.from_ is not None:
            produced = self.produces.get(config.from_)
            if produced is None:
                hint = nearest(config.from_, self.produces)
                raise ValueError(f"from: no earlier stage is called {config.from_!r}; {hint}")
            if produced not in reads:
                wanted = ", ".join(reads) or "nothing"
                raise ValueError(f"from: {config.from_!r} makes {produced}, but {config.use} reads {wanted}")
            line = self.lineage[config.from_]
            chosen = {artifact: line[artifact] for artifact in reads if artifact in line}
        for artifact in needed:
            if artifact not in chosen:
                stage = self.nearest_of(artifact)
                if stage is None:
                    raise ValueError(f"reads {artifact}, which no earlier stage makes")
                chosen[artifact] = stage
        if config.from_ is None:
            for artifact in config.accepts:
                stage = self.nearest_of(artifact)
                if stage is not None and self.conflict(chosen | {artifact: stage}) is None:
                    chosen[artifact] = stage
        if conflict := self.conflict(chosen):
            raise ValueError(conflict)
        return {artifact: chosen[artifact] for artifact in reads if artifact in chosen}

    def conflict(self, chosen: dict[str, str]) -> str | None:
        """How two inputs disagree, such as a checkpoint trained on other SIDs than those that are read.

        One that goes on from what the other was made with (anchors of a checkpoint, and a checkpoint trained
        further from that) is no disagreement; but SIDs that were made from a checkpoint are none of its own.
        """
        for artifact, source in chosen.items():
            for other, ancestor in self.lineage[source].items():
                read = chosen.get(other, ancestor)
                goes_on = other != SIDS and ancestor in self.ancestors[read]
                if other != artifact and read != ancestor and not goes_on:
                    return (
                        f"reads {other} of {chosen[other]!r} and {artifact} of {source!r}, "
                        f"which was made with {other} of {ancestor!r}; say which by 'from'"
                    )
        return None

    def add(self, name: str, config: StageConfig, inputs: dict[str, str]) -> None:
        self.produces[name] = config.produces
        line: dict[str, str] = {}
        for source in inputs.values():
            line |= self.lineage[source]
        line |= inputs
        if config.produces == SIDS:  # what they were made from is not what is trained on them
            line = {artifact: source for artifact, source in line.items() if artifact == DATASET}
        self.lineage[name] = line | {config.produces: name}
        self.ancestors[name] = set(inputs.values()).union(*(self.ancestors[s] for s in inputs.values()))


def plan(spec: RunSpec, where: Where = lambda path: "") -> list[PlannedStage]:
    """The stages of a spec in order, each with its inputs; the stage `dataset` is understood.

    An input is that of the stage named by `from`, or of the nearest earlier stage that makes it. Raises
    `UserError` with a line for each stage whose inputs cannot be found.
    """
    planner = _Planner()
    planned: list[PlannedStage] = []
    mistakes: list[str] = []
    for name, config in spec.stages.items():
        inputs: dict[str, str] = {}
        try:
            inputs = planner.inputs(name, config)
        except ValueError as error:
            key = ("stages", name, "from") if str(error).startswith("from:") else ("stages", name)
            text = str(error).removeprefix("from: ")
            mistakes.append(f"{where(key)}{'.'.join(key)}: {text}")
        planner.add(name, config, inputs)
        planned.append(PlannedStage(name, config, inputs))
    if mistakes:
        raise UserError(*mistakes)
    return planned
