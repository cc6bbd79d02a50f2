"""Options of the stage sft; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from lasar_kit.spec import (
    Around,
    BackboneConfig,
    ComponentConfig,
    DepthPolicyConfig,
    LatentLoopConfig,
    SftObjectiveConfig,
    SpecModel,
    component,
)
from lasar_kit.spec.component import ComponentOf
from lasar_kit.stages.sft.terms import INSTEAD_OF, LOGGED_AS, SftTerm, WeightedSftObjective, no_thought
from lasar_kit.stages.sft.text_config import WRITTEN, ReasoningTextConfig, TasksConfig, TextConfig
from lasar_kit.train.config import Inputs, Line, PromptRule, TrainingConfig


class SftConfig(TrainingConfig):
    """Supervised fine-tuning: a sum of weighted objectives.

    `tasks`, `aligner` with `align_weight`, `policy_weight`, `text` and `reasoning_text` are short for the
    objectives of the paper and of LC-Rec; `objectives` lists any others.
    """

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids")
    accepts: ClassVar[tuple[str, ...]] = ("checkpoint", "anchors")
    produces: ClassVar[str] = "checkpoint"
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history", "backbone", "prompt", "decoder")

    latent_loop: Annotated[LatentLoopConfig, component("latent_loop")] = Field(
        "none", validate_default=True, description="How to think between prompt and answer."
    )
    depth_policy: Annotated[DepthPolicyConfig, component("depth_policy")] = Field(
        "none", validate_default=True, description="How long to think."
    )
    aligner: Annotated[ComponentConfig, component("aligner")] = Field(
        "none", description="Holds thoughts to anchors.", validate_default=True
    )
    align_weight: float = Field(0.1, ge=0, description="Of the alignment loss (paper: alpha).")
    policy_weight: float = Field(0.1, ge=0, description="Of the depth policy's cross-entropy (paper: beta).")
    objectives: tuple[WeightedSftObjective, ...] = Field(
        (),
        description="Further terms of the loss, `{objective: NAME, weight: 1}`; `answer`, `align` and "
        "`depth_label` here take the place of what the options of that purpose say, `sampled_softmax`, "
        "`bce` and `cloze` that of `answer`.",
    )
    depth: Literal["label", "policy", "at_least_label"] = Field(
        "label",
        description="How long a training prompt is thought about: its number of segments; what the policy "
        "would choose; or a draw between that number and the policy's largest depth, which the policy then "
        "learns for every prompt, so that it is left to RL to find how little is enough.",
    )
    fresh: bool = Field(
        False, description="Start from the backbone's own weights even behind an earlier training stage."
    )
    samples: Literal["sliding", "longest_per_user", "packed"] = Field(
        "sliding",
        description="Every prefix of a user's training part, the longest alone, or all prefixes in one pass.",
    )
    pack_items: int | None = Field(
        None, ge=2, description="Items in one packed pass; one more than max_history when absent."
    )
    rationale_tokens: int = Field(
        256,
        ge=1,
        description="Tokens of a teacher's text between prompt and answer, the first ones kept, where a loop "
        "writes or an objective reads them.",
    )
    item_drop: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Leaves items out of training sequences, others each epoch: a sample draws a rate from 0 "
        "to this, and loses each item but its last with that probability. Models then also learn what comes "
        "later, and overfit less.",
    )
    tasks: TasksConfig = Field(
        {},
        validate_default=True,
        description="Weights of next items and of the tasks with texts beside.",
    )
    text: TextConfig = Field(default_factory=TextConfig, description="Language modelling on item texts.")
    reasoning_text: ReasoningTextConfig = Field(
        {}, validate_default=True, description="Language modelling on a teacher's texts."
    )
    gradient_accumulation: int = Field(
        1, ge=1, description="Forward passes that one update of a process is split into."
    )
    validate_first: bool = Field(
        False,
        description="Validate before the first update as well, for the curve (Figure 3); that model is never "
        "kept.",
    )

    _terms: tuple[SftTerm, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _resolve(self, info: ValidationInfo) -> Self:
        """Put the terms of the loss together: what the short options mean, then what `objectives` lists."""
        own = [entry.objective for entry in self.objectives]
        listed = {objective.use for objective in own} | {objective.instead_of for objective in own}
        for name in sorted(set(INSTEAD_OF).intersection(listed)):
            if idle := [option for option in INSTEAD_OF[name] if self._changed(option)]:
                raise ValueError(f"objectives lists {name}, so {', '.join(idle)} would do nothing")
        short = [term for term in self._short(info) if term.objective.use not in listed]
        names = [term.name for term in short]
        for entry in self.objectives:
            first = name = LOGGED_AS.get(entry.objective.use, entry.objective.use)
            number = 1
            while name in names:
                number += 1
                name = f"{first}_{number}"
            names.append(name)
            short.append(SftTerm(name, entry.weight, entry.objective, "objectives"))
        self._terms = tuple(short)
        return self

    def _changed(self, option: str) -> bool:
        """Whether an option is not as it is by default, and so is no line of a spec filled in."""
        value = getattr(self, option)
        default = type(self).model_fields[option].default
        return bool((value.use if isinstance(value, ComponentConfig) else value) != default)

    def _short(self, info: ValidationInfo) -> Iterator[SftTerm]:
        """Yield what `tasks`, `aligner`, `policy_weight`, `text` and `reasoning_text` are short for."""

        def term(name: str, weight: float, use: str, place: str = "", **options: Any) -> SftTerm:
            config = ComponentOf("sft_objective").validate({"use": use, **options}, info)
            assert isinstance(config, SftObjectiveConfig)
            return SftTerm(name, weight, config, place)

        yield term("ce", self.tasks.next_item, "answer")
        yield term("align", self.align_weight, "align", aligner=self.aligner)
        yield term("policy", self.policy_weight, "depth_label")
        rule, tasks = self.prompt_rule, self.tasks
        for name, weight in tasks.texts.items():
            options = _options(tasks, ("batch_size", "max_tokens", "fields"))
            if name in WRITTEN:
                options |= _options(tasks, ("teacher", "max_samples"))
            yield term(name, weight, name, f"tasks.{name}", samples=rule, **options)
        if self.text.weight:
            yield term("text", self.text.weight, "item_text", "text", **_options(self.text))
        if self.reasoning_text.weight:
            options = _options(self.reasoning_text)
            options["samples"] = options["samples"] or rule
            use = "reasoning_text"
            yield term(use, self.reasoning_text.weight, use, use, **options)

    @property
    def own_aligner(self) -> ComponentConfig | None:
        """`aligner`, where `align_weight` is not 0."""
        return self.aligner if self.align_weight else None

    @property
    def listed(self) -> tuple[WeightedSftObjective, ...]:
        """Those of `objectives`."""
        return self.objectives

    @property
    def terms(self) -> tuple[SftTerm, ...]:
        """The terms of the loss, by their names in the log."""
        return self._terms

    @property
    def implied(self) -> tuple[ComponentConfig, ...]:
        """The objectives that the short options stand for."""
        return tuple(term.objective for term in self._terms)

    @property
    def trains_text(self) -> bool:
        """Whether any task with texts is on."""
        return any(term.objective.trains_text for term in self._terms if term.weight)

    def teaches_depth(self, inputs: Inputs) -> bool:
        """By a term that has what it wants."""
        terms = [term.objective for term in self._terms if term.weight and term.objective.teaches_depth]
        return any("anchors" in inputs or not objective.wants for objective in terms)

    @property
    def begins_anew(self) -> bool:
        """By `fresh`."""
        return self.fresh

    @property
    def policy(self) -> DepthPolicyConfig:
        """Its `depth_policy`."""
        return self.depth_policy

    @property
    def loop(self) -> LatentLoopConfig:
        """Its `latent_loop`."""
        return self.latent_loop

    def mistakes(self, around: Around) -> Iterator[tuple[str, str]]:
        """Parts that do not fit together."""
        backbone, loop = around.backbone, self.latent_loop
        if self.samples == "packed" and not backbone.causal:
            yield (
                "samples",
                f"packed reads many prompts in one pass, and {backbone.use} cannot; set 'sliding'",
            )
        if loop.thinks_between and not around.decoder.offers_between:
            yield (
                "latent_loop",
                (f"{loop.use} thinks between answer tokens; decoder {around.decoder.use} does not let it"),
            )
        if loop.writes and not backbone.reads_text:
            yield "latent_loop", f"{loop.use} writes words, and backbone {backbone.use} has none"
        if loop.writes and "anchors" not in around.inputs:
            yield (
                "latent_loop",
                (f"{loop.use} learns to write from a teacher's texts; add a stage 'anchors' before this one"),
            )
        if loop.writes and self.depth_policy.support == (0,):
            yield (
                "depth_policy",
                (
                    f"{loop.use} writes nothing at depth 0, and {self.depth_policy.use} has no other; set "
                    "'depth_policy: {use: fixed, depth: 1, others: [0]}'"
                ),
            )
        for term in self._terms:
            if term.objective.trains_text and term.weight and not backbone.reads_text:
                yield term.place, f"{term.objective.use} trains words, and backbone {backbone.use} has none"
            unfit = (
                term.objective.unfit_backbone(backbone),
                term.objective.unfit_loop(loop),
                term.objective.unfit_decoder(around.decoder),
            )
            yield from ((term.place, f"{term.objective.use} {why}") for why in unfit if term.place and why)
            if term.place and term.objective.wants and "anchors" not in around.inputs:
                yield (
                    term.place,
                    (
                        f"{term.objective.use} needs {' and '.join(term.objective.wants)}, from a teacher's "
                        "texts; add a stage 'anchors' before this one"
                    ),
                )

    @property
    def prompt_rule(self) -> PromptRule:
        """Which prompts are trained on; packed ones are those of every prefix."""
        return "longest_per_user" if self.samples == "longest_per_user" else "sliding"

    def cautions(self, backbone: BackboneConfig, line: Line, inputs: Inputs) -> Iterator[str]:
        """Texts are paid for, and those about prompts that are not trained on are for nothing; a loop writes
        what it was taught."""
        yield from super().cautions(backbone, line, inputs)
        wanted = {want for term in self._terms if term.weight for want in term.objective.wants}
        if self.latent_loop.needs_words and "rationale" not in wanted:
            yield (
                f"{self.latent_loop.use} writes, but no objective here teaches it to; add "
                "'objectives: [{objective: rationale}]'"
            )
        yield from no_thought(self.latent_loop, self.depth_policy, self._terms)
        asked = []
        if "anchors" in inputs:
            name, anchors = inputs["anchors"]
            asked.append((f"stages.{name}.samples", anchors.prompts_about))
            if self.item_drop:
                yield "item_drop leaves items out of prompts whose anchors were made with all of them"
        if self.reasoning_text.weight:
            asked.append(("reasoning_text.samples", self.reasoning_text.samples))
        for option, rule in asked:
            if rule not in (None, self.prompt_rule):
                what = "prompts it never sees" if rule == "sliding" else "few of its prompts"
                yield f"samples is {self.samples!r} but {option} is {rule!r}: texts are of {what}"


def _options(short: SpecModel, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """The options of a short form, as they are: but for its weight, or these alone."""
    names = only or tuple(name for name in type(short).model_fields if name != "weight")
    return {name: getattr(short, name) for name in names}
