"""The bases of options of kinds that declare what their components can do.

What is declared here is known before anything is built: `check` holds it against the rest of a spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from lasar_kit.spec.component import ComponentConfig
from lasar_kit.spec.stage import StageConfig


class DecoderConfig(ComponentConfig):
    """Options that every decoder has.

    One that `draws` makes candidates and ranks nothing. One that `offers_between` lets a loop think between
    the tokens of an answer (`LatentTrace.between`).
    """

    draws: ClassVar[bool] = False
    offers_between: ClassVar[bool] = False

    width: int = Field(50, ge=1, description="Beams kept at each level, and items returned.")

    @property
    def renormalises(self) -> bool:
        """Whether log-probabilities are among the tokens that go on to an item alone, not among all."""
        return False

    @property
    def learns(self) -> bool:
        """Whether it has weights of its own, which an SFT objective that `trains_decoder` trains."""
        return False

    @property
    def mixed_in(self) -> RankerConfig | None:
        """The ranker that the model is mixed with; None where there is none."""
        return None

    @property
    def learnt_beside(self) -> Mapping[str, Any]:
        """Options, in JSON, that weights of its own are learnt beside; beside others they mean nothing."""
        return {"use": self.use}


def _ranks(decoder: DecoderConfig | None) -> DecoderConfig | None:
    if decoder is not None and decoder.draws:
        raise ValueError(f"must rank items; {decoder.use} draws them, as the 'rollout' of a stage rl may")
    return decoder


Ranks = AfterValidator(_ranks)
"""Marks a field whose decoder must rank items."""


class BackboneConfig(ComponentConfig):
    """Options of a backbone.

    `causal`: one pass over a sequence reads all of its prefixes, which packed training needs.
    `reads_text`: it has a tokenizer for words, which text tasks and written reasoning need.
    `fills_gaps`: it predicts hidden tokens from both sides (`lasar_kit.core.capabilities.FillsGaps`).
    `loads_as`: the class of transformers that loads what it saves; None where none does.
    """

    causal: ClassVar[bool] = True
    reads_text: ClassVar[bool] = True
    fills_gaps: ClassVar[bool] = False
    loads_as: ClassVar[str | None] = "AutoModelForCausalLM"

    @property
    def from_scratch(self) -> bool:
        """Whether it begins with random weights, and so has read nothing."""
        return False

    @property
    def starts_from(self) -> str | None:
        """The model whose weights it begins with, a folder, hub id or GGUF file; None where it names none."""
        return None

    @property
    def rounds_updates(self) -> bool:
        """Whether weights in training are too narrow to hold small updates."""
        return False


class QuantizerConfig(ComponentConfig):
    """Options of a quantizer: one that does not `read_vectors` needs no text encoder; one that
    `encodes_later` has codes for items that it was not fitted on."""

    reads_vectors: ClassVar[bool] = True
    encodes_later: ClassVar[bool] = True


class LatentLoopConfig(ComponentConfig):
    """Options of a latent loop.

    `tokens`: what it needs in the vocabulary besides SIDs and the latent tokens.
    `writes`: it writes words before the answer. `halts`: it ends its thinking itself. `parallel`: it thinks
    in several streams (`LatentTrace.streams`).
    """

    tokens: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[bool] = False
    halts: ClassVar[bool] = False
    parallel: ClassVar[bool] = False

    @property
    def needs_words(self) -> bool:
        """Whether, as its options are, it writes what it has to be taught."""
        return self.writes

    @property
    def thinks_between(self) -> bool:
        """Whether it also thinks between the tokens of an answer (`LatentTrace.between`)."""
        return False


class DepthPolicyConfig(ComponentConfig):
    """Options of a depth policy."""

    @property
    def support(self) -> tuple[int, ...] | None:
        """The depths to choose from, ascending; None where they are not known before it is built."""
        return None

    @property
    def chooses(self) -> bool:
        """Whether it takes one depth of several, so that there is something to teach it."""
        return self.support is None or len(self.support) > 1

    @property
    def learns(self) -> bool:
        """Whether it has weights, which choose at random until something teaches them."""
        return False


class SftObjectiveConfig(ComponentConfig):
    """Options of a term of the supervised loss.

    `instead_of`: the objective of the stage's own that it takes the place of where `objectives` lists it. One
    that `trains_decoder` trains weights of the decoder's own, one that `teaches_depth` those of the depth
    policy. One that is `about_thoughts` asks something of them, so that a study's controls go without it.
    """

    instead_of: ClassVar[str | None] = None
    trains_decoder: ClassVar[bool] = False
    teaches_depth: ClassVar[bool] = False
    about_thoughts: ClassVar[bool] = False

    @property
    def wants(self) -> tuple[str, ...]:
        """Name what lessons must hold for it (`anchors`, `rationale`), without which `check` warns."""
        return ()

    @property
    def trains_text(self) -> bool:
        """Whether the backbone learns words by it."""
        return False

    def unfit_backbone(self, backbone: BackboneConfig) -> str | None:
        """Return why it cannot train this backbone, and what to do; None where it can."""
        return None

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """Return why it cannot train this loop, and what to do; None where it can."""
        return None

    def unfit_decoder(self, decoder: DecoderConfig) -> str | None:
        """Return why it cannot train beside this decoder, and what to do; None where it can."""
        if not self.trains_decoder or decoder.learns:
            return None
        return (
            f"trains weights of the decoder's own, and this {decoder.use} has none; set 'decoder: {{use: "
            "mixed_trie, learned: true}'"
        )


class RlObjectiveConfig(ComponentConfig):
    """Options of a term of the RL loss.

    One that `draws_depth` learns from depths that were drawn, one that `compares_candidates` from what sets
    those of a prompt apart, and one that `compares_texts`, where a loop writes, from texts of their own.
    """

    draws_depth: ClassVar[bool] = False
    compares_candidates: ClassVar[bool] = False
    compares_texts: ClassVar[bool] = False

    @property
    def acts_later(self) -> tuple[str, ...]:
        """Options without effect on a rollout's first update, where the policy still is what made it."""
        return ()

    @property
    def kl_over(self) -> Literal["token", "sequence"] | None:
        """What the KL that it logs is of: one token, on average, or a whole SID; None where it logs none."""
        return None

    @property
    def least_candidates(self) -> int:
        """Fewest candidates of a prompt by which it is defined."""
        return 1


class AlignerConfig(ComponentConfig):
    """Options of an aligner. A plugin's need not derive from it, and are then taken to be as here."""

    @property
    def measure(self) -> str:
        """What distances by it are called."""
        return self.use

    @property
    def reads_by_head(self) -> bool:
        """Whether it compares what a language model's head predicts from states, not the states."""
        return False


class RewardConfig(ComponentConfig):
    """Options of a reward. A plugin's need not derive from it, and are then taken to be as here.

    `tokens`: those of the loop's own that it looks for in a text, where there is one.
    """

    tokens: ClassVar[tuple[str, ...]] = ()


class TeacherConfig(ComponentConfig):
    """Options of a teacher. One without `plain_text` writes tokens of the model, not words."""

    plain_text: ClassVar[bool] = True


Normalise = Literal["sum", "softmax"]
"""How a ranker's scores become probabilities: `sum` divides them by their sum, those below 0 being 0, and
`softmax` their exponentials."""


class RankerConfig(ComponentConfig):
    """Options of a ranker, and what tables call it.

    `normalised_by`: how its scores become probabilities where neither a spec nor the ranker itself
    (`lasar_kit.core.capabilities.GivesProbabilities`) says: by `softmax` where they are logarithms.
    """

    normalised_by: ClassVar[Normalise] = "sum"

    label: str | None = Field(None, min_length=1, description="What tables call it; its name when absent.")

    @property
    def called(self) -> str:
        """The name of its row."""
        return self.label or self.use

    @property
    def trained_before(self) -> tuple[str, ...]:
        """What tables call those of its models that `fit` leaves as they are, since a run trained them."""
        return ()


def _divisible(normalise: Normalise | None, info: ValidationInfo) -> Normalise | None:
    ranker = next((value for value in info.data.values() if isinstance(value, RankerConfig)), None)
    if normalise == "sum" and ranker is not None and ranker.normalised_by == "softmax":
        raise ValueError(
            f"sum divides by the sum of what is above 0, and scores of {ranker.use} are logarithms, by which "
            "all items would be alike; leave 'normalise' out, or set it to softmax"
        )
    return normalise


Normalised = Annotated[
    Normalise | None,
    AfterValidator(_divisible),
    Field(
        description="How its scores become probabilities: divided by their sum, those below 0 being 0, or by "
        "softmax, over what it lists. When absent as the ranker says: those of `blend`, and of a `run` with "
        "`score: trie`, are known, and what a beam leaves out keeps its share; others by softmax where they "
        "are logarithms, and by their sum else. Uniform where it lists nothing.",
    ),
]
"""The option of what mixes a ranker in; it stands behind the field of that ranker."""


BASES: Mapping[str, type[ComponentConfig]] = {
    "stage": StageConfig,
    "decoder": DecoderConfig,
    "backbone": BackboneConfig,
    "quantizer": QuantizerConfig,
    "latent_loop": LatentLoopConfig,
    "depth_policy": DepthPolicyConfig,
    "sft_objective": SftObjectiveConfig,
    "rl_objective": RlObjectiveConfig,
    "teacher": TeacherConfig,
    "ranker": RankerConfig,
}
"""The class that options of each kind's components derive from; `ComponentConfig` where none is named."""
