"""Options of the stage rl; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from lasar_kit.spec import (
    Around,
    BackboneConfig,
    ComponentConfig,
    DecoderConfig,
    RewardConfig,
    RlObjectiveConfig,
    SpecModel,
    component,
)
from lasar_kit.train.config import Inputs, Line, PromptRule, RlOptimizerConfig, TrainingConfig

ALIGN = "align"
"""The term of the terminal alignment."""


class WeightedReward(SpecModel):
    """A reward and its weight."""

    reward: Annotated[ComponentConfig, component("reward")] = Field(description="A reward.")
    weight: float = Field(1.0, description="Factor of the reward.")


class WeightedObjective(SpecModel):
    """An objective and its weight."""

    objective: Annotated[RlObjectiveConfig, component("rl_objective")] = Field(description="An RL objective.")
    weight: float = Field(1.0, ge=0, description="Factor of its loss.")


def named(objectives: Sequence[WeightedObjective]) -> dict[str, WeightedObjective]:
    """Objectives by what their terms are called: their component, numbered from the second one on."""
    terms: dict[str, WeightedObjective] = {}
    for entry in objectives:
        name, number = entry.objective.use, 1
        while name in terms or name == ALIGN:
            number += 1
            name = f"{entry.objective.use}_{number}"
        terms[name] = entry
    return terms


class RlConfig(TrainingConfig):
    """Reinforcement learning of answers and depth (paper section 2.4)."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids", "checkpoint")
    accepts: ClassVar[tuple[str, ...]] = ("anchors",)
    produces: ClassVar[str] = "checkpoint"
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history", "decoder")

    epochs: float = Field(1, gt=0, description="Passes over the samples.")
    optimizer: RlOptimizerConfig = Field(
        default_factory=RlOptimizerConfig, description="AdamW and its schedule."
    )
    candidates: int = Field(8, ge=1, description="Candidates a prompt (paper: G).")
    texts: Literal["shared", "own"] = Field(
        "shared",
        description="Of a model that writes, what the candidates of a prompt answer behind: one text, or "
        "each behind a text that was drawn for it, with the `rollout`'s best item.",
    )
    rollout: Annotated[DecoderConfig, component("decoder")] = Field(
        {"use": "trie_beam", "score": "trie"},
        description="Makes the candidates; its `width` is their number unless a wider beam is to be cut to "
        "the best of it.",
        validate_default=True,
    )
    depth: Literal["sample", "argmax"] = Field(
        "sample", description="How a prompt's depth is taken from the policy during training."
    )
    rewards: tuple[WeightedReward, ...] = Field(
        ({"reward": "rule"}, {"reward": "ndcg"}),
        min_length=1,
        description="Added up: `{reward: rule, weight: 1}`.",
        validate_default=True,
    )
    objectives: tuple[WeightedObjective, ...] = Field(
        ({"objective": "grpo"}, {"objective": "reinforce", "weight": 0.01}),
        min_length=1,
        description="Terms of the loss: `{objective: grpo, weight: 1}`; a second grpo is grpo_2 in the log.",
        validate_default=True,
    )
    aligner: Annotated[ComponentConfig, component("aligner")] = Field(
        "terminal", description="Holds the last thought to the last anchor.", validate_default=True
    )
    align_weight: float = Field(1e-5, ge=0, description="Of the terminal alignment (paper: gamma_KL).")
    depth_cost: float = Field(
        0.0, ge=0, description="NDCG@10 that one thought costs where validations are compared."
    )
    depth_lr: float | None = Field(
        None, gt=0, description="Peak learning rate of the depth policy; that of the optimizer when absent."
    )
    updates_per_rollout: int = Field(1, ge=1, description="Updates on the same candidates.")
    samples: PromptRule = Field(
        "sliding", description="Every prefix of a user's training part is a prompt, or the longest alone."
    )
    max_samples: int = Field(
        0, ge=0, description="Prompts to train on, drawn once by the seed, the same every epoch; 0 for all."
    )
    prompts: Literal["uniform", "likely"] = Field(
        "uniform",
        description="Which prompts `max_samples` draws: any alike, or each in proportion to the chance that "
        "as many drawn candidates hold the target and something else (1 - (1 - p)^G - p^G, p of the policy "
        "as RL finds it).",
    )
    refill: int = Field(
        0,
        ge=0,
        description="Times that a prompt whose candidates all earned the same is replaced by another one, "
        "drawn by the seed, before an update is made.",
    )
    gradient_accumulation: int = Field(
        1, ge=1, description="Forward passes that one update of a process is split into; rollouts are not."
    )
    score: Literal["vocabulary", "trie"] = Field(
        "trie", description="What a candidate's token competes with in its log-probability."
    )

    @property
    def own_aligner(self) -> ComponentConfig | None:
        """`aligner`, where `align_weight` is not 0."""
        return self.aligner if self.align_weight else None

    @property
    def listed(self) -> tuple[WeightedObjective, ...]:
        """Those of `objectives`."""
        return self.objectives

    def teaches_depth(self, inputs: Inputs) -> bool:
        """By an objective that learns from depths that were drawn."""
        return any(entry.weight and entry.objective.draws_depth for entry in self.objectives)

    @field_validator("rollout")
    @classmethod
    def _wide_enough(cls, rollout: DecoderConfig, info: ValidationInfo) -> DecoderConfig:
        """One beam or draw a candidate, unless the spec has a width of its own."""
        wanted = info.data.get("candidates")
        if wanted is None:
            return rollout
        of = "the number of candidates"
        if info.data.get("texts") == "own":
            wanted, of = 1, "a candidate behind each text"
        if "width" not in rollout.model_fields_set:
            return rollout.model_copy(update={"width": wanted})
        if rollout.width < wanted or (rollout.draws and rollout.width > wanted):
            least = "" if rollout.draws else "at least "
            raise ValueError(f"width must be {least}{wanted}, {of} (got {rollout.width})")
        return rollout

    def mistakes(self, around: Around) -> Iterator[tuple[str, str]]:
        """A loop that thinks between answer tokens needs candidates from a decoder that lets it; prompts to
        choose from, a number to choose; a clip, a ratio that can leave 1; texts of one's own, a loop that
        writes."""
        if self.prompts == "likely" and not self.max_samples:
            yield "prompts", "likely chooses 'max_samples' of the prompts, but that is 0, for all of them"
        for number, entry in enumerate(self.objectives):
            if changed := [name for name in self._idle(entry.objective) if _differs(entry.objective, name)]:
                yield f"objectives.{number}", self._idly(entry.objective, changed)
        if around.loop is not None and around.loop.thinks_between and not self.rollout.offers_between:
            yield (
                "rollout",
                (
                    f"{around.loop.use} thinks between answer tokens; decoder {self.rollout.use} does not "
                    "let it"
                ),
            )

        if not self._can_learn(around):
            assert around.policy is not None
            names = " and ".join(dict.fromkeys(entry.objective.use for entry in self.objectives))
            yield (
                "objectives",
                (
                    f"{names} teaches how long to think, and depth policy {around.policy.use} has one "
                    "depth alone, so there is nothing to learn; set 'depth_policy: mlp' in the stage sft "
                    "before, or add '{objective: grpo}'"
                ),
            )
        yield from self._texts_that_do_not_fit(around)
        yield from self._rewards_that_do_not_fit(around)

    def _rewards_that_do_not_fit(self, around: Around) -> Iterator[tuple[str, str]]:
        loop = around.loop
        for number, entry in enumerate(self.rewards):
            wanted = entry.reward.tokens if isinstance(entry.reward, RewardConfig) else ()
            if loop is not None and loop.writes and (lacking := [t for t in wanted if t not in loop.tokens]):
                yield (
                    f"rewards.{number}",
                    (
                        f"{entry.reward.use} looks for {' and '.join(lacking)} in what is written, and "
                        f"{loop.use} writes none; leave it out, or set 'latent_loop: written' in the stage "
                        "sft before"
                    ),
                )

    def _can_learn(self, around: Around) -> bool:
        """Whether an objective teaches answers, or there is a choice of depths, or anchors hold thoughts."""
        depth_alone = all(
            entry.objective.draws_depth and not entry.objective.compares_candidates
            for entry in self.objectives
        )
        ends_itself = around.loop is not None and around.loop.halts
        never = around.policy is not None and around.policy.support == (0,)
        thinks = around.loop is not None and around.loop.use != "none" and not never
        aligner = self.own_aligner if "anchors" in around.inputs else None
        held = thinks and aligner is not None and aligner.use != "none" and self.texts != "own"
        chooses = around.policy is None or around.policy.chooses
        return not depth_alone or chooses or ends_itself or held

    def _texts_that_do_not_fit(self, around: Around) -> Iterator[tuple[str, str]]:
        writes = around.loop is not None and around.loop.writes
        if self.texts == "own" and around.loop is not None and not writes:
            yield (
                "texts",
                (
                    f"own draws a text for each candidate, and {around.loop.use} writes none; set "
                    "'latent_loop: {use: written}' in the stage sft before"
                ),
            )
        if self.texts == "own" and self.align_weight not in (
            0,
            type(self).model_fields["align_weight"].default,
        ):
            yield "align_weight", "texts of candidates are held to no anchor; leave it out"
        for number, entry in enumerate(self.objectives):
            objective, place = entry.objective, f"objectives.{number}"
            if writes and self.texts == "shared" and objective.compares_texts:
                yield (
                    place,
                    (
                        f"{objective.use} compares candidates by their texts, and these share one; set "
                        "'texts: own'"
                    ),
                )
            if self.candidates < objective.least_candidates:
                yield (
                    place,
                    (
                        f"{objective.use} needs {objective.least_candidates} candidates a prompt or more, "
                        f"and candidates is {self.candidates}"
                    ),
                )

    def cautions(self, backbone: BackboneConfig, line: Line, inputs: Inputs) -> Iterator[str]:
        """Hold what the objectives declare of depths, candidates and later updates against the options."""
        yield from super().cautions(backbone, line, inputs)
        for entry in self.objectives:
            if self.depth == "argmax" and entry.objective.draws_depth:
                yield (
                    f"{entry.objective.use} needs drawn depths, but depth is 'argmax': it only sees what the "
                    "policy finds best already; set 'depth: sample'"
                )
            if self.candidates == 1 and entry.objective.compares_candidates:
                yield (
                    f"{entry.objective.use} compares the candidates of a prompt, but candidates is 1: every "
                    "advantage is 0, so it teaches nothing; set 'candidates: 8'"
                )
            if idle := self._idle(entry.objective):
                yield self._idly(entry.objective, idle)

    def _idle(self, objective: RlObjectiveConfig) -> list[str]:
        """Options of an objective that the spec names and that cannot act."""
        named = [name for name in objective.acts_later if name in objective.model_fields_set]
        return named if self.updates_per_rollout == 1 else []

    def _idly(self, objective: RlObjectiveConfig, idle: Sequence[str]) -> str:
        return (
            f"{objective.use}'s {', '.join(idle)} cannot act: updates_per_rollout is 1, and in a rollout's "
            "first update every ratio is 1; set 'updates_per_rollout: 2', or leave it out"
        )


def _differs(objective: RlObjectiveConfig, name: str) -> bool:
    """Whether an option has another value than by default, and so is no line of a spec filled in."""
    default: object = type(objective).model_fields[name].get_default(call_default_factory=True)
    return bool(getattr(objective, name) != default)
