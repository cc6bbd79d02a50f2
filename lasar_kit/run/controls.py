"""The rows of a study: a spec that thinks, and the same with something else in the place of its thoughts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lasar_kit.errors import UserError
from lasar_kit.spec import RlObjectiveConfig, SftObjectiveConfig
from lasar_kit.spec.component import ConfigSource
from lasar_kit.spec.load import LoadedSpec, load_spec
from lasar_kit.spec.plan import PlannedStage

SPEC, NONE = "as it is", "no thoughts"
LOOPS = {"pause": "pause positions", "noise": "noise thoughts"}
"""Loops whose thoughts carry nothing of the model's state, and what their rows are called."""

AT_DEPTH = "depth_{}"
"""The evaluate stage that forces a depth on everybody."""

CARRIED = ("exit", "residual_std", "checkpoint")
"""Options of a loop that a control takes over, as far as it has them."""

Change = tuple[str, Any]
"""A dotted key of the spec and its value there; None takes it back to its default, and a stage away."""


@dataclass(frozen=True)
class Row:
    """A row of a study: what it is called, the folder of its runs, and how it changes the spec.

    `kind` is `spec`, `none`, `pause`, `noise` or `fixed`; one that is `fixed` thinks `depth` times.
    """

    name: str
    kind: str
    changes: tuple[str, ...]
    depth: int | None = None

    @property
    def folder(self) -> str:
        """Made of letters that folders are named by."""
        return self.kind if self.depth is None else f"{self.kind}-{self.depth}"


@dataclass(frozen=True)
class Rows:
    """All rows, the spec itself first; those that its parts refuse, with the reason; the evaluate stage that
    is read; and the depths that the spec's own model is forced to."""

    rows: tuple[Row, ...]
    skipped: Mapping[str, str]
    stage: str
    depths: tuple[int, ...]


def rows_of(path: Path, overrides: Sequence[str], catalogue: ConfigSource, largest: int | None) -> Rows:
    """The rows of a spec; fixed depths and forced ones go up to `largest`, or what its policy may choose.

    `UserError` where the spec is wrong, thinks in no stage or evaluates nothing.
    """
    study = _Study(path, tuple(overrides), catalogue, load_spec(path, overrides, catalogue))
    return study.rows(largest)


@dataclass(frozen=True)
class _Study:
    path: Path
    overrides: tuple[str, ...]
    catalogue: ConfigSource
    loaded: LoadedSpec

    @property
    def thinking(self) -> list[PlannedStage]:
        """The stages that train a latent loop."""
        return [one for one in self.loaded.plan if one.config.loop and one.config.loop.use != "none"]

    @property
    def evaluations(self) -> list[PlannedStage]:
        """The stages that rank items for users."""
        return [one for one in self.loaded.plan if type(one.config).longest_list]

    @property
    def support(self) -> tuple[int, ...]:
        """The depths that the model may choose, as far as its options tell."""
        return (self.thinking[-1].config.policy and self.thinking[-1].config.policy.support) or ()

    def rows(self, largest: int | None) -> Rows:
        """Find the changes of each row that give a valid spec."""
        if not self.thinking:
            raise UserError(
                f"{self.path}: no stage thinks (has a 'latent_loop' other than none): nothing to study"
            )
        if not self.evaluations:
            raise UserError(f"{self.path}: no stage 'evaluate' to measure by; add one behind the others")
        depths = tuple(k for k in self.support if largest is None or k <= largest)
        stage = self.evaluations[-1].name
        itself, _ = self._first([[*self._alone(beside=True), *self._forced(depths)]])
        rows, skipped = [Row(SPEC, "spec", itself)], dict[str, str]()
        for name, kind, depth, ways in self._others([k for k in depths if k]):
            changes, reason = self._first(ways)
            if reason:
                skipped[name] = reason
            else:
                rows.append(Row(name, kind, changes, depth))
        return Rows(tuple(rows), skipped, stage, depths)

    def _others(self, depths: Sequence[int]) -> Iterator[tuple[str, str, int | None, list[list[Change]]]]:
        """Each other row with the ways to come by it, the best first."""
        yield (
            NONE,
            "none",
            None,
            [[*self._thoughtless(), *anchors] for anchors in (self._without_anchors(), [])],
        )
        for loop, name in LOOPS.items():
            yield name, loop, None, [self._instead(loop, carried) for carried in (True, False)]
        if self.support == (depths[0] if depths else None,):  # the spec itself has a depth for all
            return
        for depth in depths:
            yield f"N = {depth} for all", "fixed", depth, [self._fixed(depth)]

    def _first(self, ways: Sequence[Sequence[Change]]) -> tuple[tuple[str, ...], str]:
        """The first of these ways that gives a valid spec; else nothing, and why the first does not."""
        reasons = []
        for way in ways:
            changes = tuple(f"{key}={json.dumps(value)}" for key, value in way)
            try:
                load_spec(self.path, [*self.overrides, *changes], self.catalogue)
                return changes, ""
            except UserError as error:
                reasons.append(error.lines[0])
        return (), reasons[0]

    def _alone(self, beside: bool = False) -> Iterator[Change]:
        """Of all evaluations the last alone, and with nothing beside it unless so asked."""
        for stage in self.evaluations[:-1]:
            yield f"stages.{stage.name}", None
        if not beside:
            yield f"stages.{self.evaluations[-1].name}.beside", []

    def _forced(self, depths: Sequence[int]) -> Iterator[Change]:
        """An evaluation of the spec's own model at each depth."""
        if len(self.support) < 2:
            return
        last = self.evaluations[-1].name
        options = self.loaded.spec.model_dump(mode="json")["stages"][last]
        for depth in depths:
            more = {"depth": depth, "beside": [], "label": f"N = {depth}"}
            yield f"stages.{AT_DEPTH.format(depth)}", options | more

    def _thoughtless(self) -> Iterator[Change]:
        """The same stages, as long, without a thought."""
        yield from self._alone()
        yield f"stages.{self.evaluations[-1].name}.depth", None
        for stage in self.thinking:
            yield from self._unsupervised(stage)
            yield f"stages.{stage.name}.latent_loop", "none"
            yield f"stages.{stage.name}.depth_policy", "none"
            yield f"stages.{stage.name}.depth", None
        yield from self._depths_untrained()
        yield from self._unaligned()

    def _without_anchors(self) -> list[Change]:
        """No reasoning is needed where none is held to it."""
        made = [one.name for one in self.loaded.plan if type(one.config).produces == "anchors"]
        return [(f"stages.{name}", None) for name in made]

    def _instead(self, loop: str, carried: bool) -> list[Change]:
        """Another loop in place of the spec's, as deep, without supervision of its thoughts."""
        found: list[Change] = [*self._alone(), *self._unaligned()]
        for stage in self.thinking:
            own = stage.config.loop
            options = {name: getattr(own, name) for name in CARRIED if hasattr(own, name)} if carried else {}
            if options.get("exit") == "last":  # of ReaRec: the answer stands behind the thoughts
                options["exit"] = "direct"
            found += [*self._unsupervised(stage)]
            found.append((f"stages.{stage.name}.latent_loop", {"use": loop, **options}))
        return found

    def _fixed(self, depth: int) -> list[Change]:
        """As many thoughts for everybody, in training too."""
        found = [*self._alone(), (f"stages.{self.evaluations[-1].name}.depth", None)]
        for stage in self.thinking:
            policy = {"use": "fixed", "depth": depth}
            found += [(f"stages.{stage.name}.depth_policy", policy), (f"stages.{stage.name}.depth", "policy")]
        return [*found, *self._depths_untrained()]

    def _unsupervised(self, stage: PlannedStage) -> Iterator[Change]:
        """A stage whose thoughts nothing is asked of."""
        fields = type(stage.config).model_fields
        if "aligner" in fields:
            yield f"stages.{stage.name}.aligner", "none"
        terms = [one for one in stage.config.listed if isinstance(one.objective, SftObjectiveConfig)]
        kept = [one for one in terms if not type(one.objective).about_thoughts]
        if len(kept) < len(terms):
            yield (
                f"stages.{stage.name}.objectives",
                [one.model_dump(mode="json", exclude_unset=True) for one in kept],
            )

    def _depths_untrained(self) -> Iterator[Change]:
        """RL of answers alone; a stage that trains nothing but depths goes."""
        for name, listed in self._reinforced():
            kept = [one for one in listed if not one.objective.draws_depth]
            if not kept:
                yield f"stages.{name}", None
            elif len(kept) < len(listed):
                yield (
                    f"stages.{name}.objectives",
                    [one.model_dump(mode="json", exclude_unset=True) for one in kept],
                )

    def _unaligned(self) -> Iterator[Change]:
        for name, listed in self._reinforced():
            gone = all(one.objective.draws_depth for one in listed)
            if not gone:
                yield f"stages.{name}.align_weight", 0.0

    def _reinforced(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """The stages of RL and their objectives."""
        for stage in self.loaded.plan:
            listed = stage.config.listed
            if listed and all(isinstance(one.objective, RlObjectiveConfig) for one in listed):
                yield stage.name, listed
