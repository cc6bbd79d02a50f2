"""Options of the searches over the catalogue's trie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lasar_kit.spec import DecoderConfig, Normalised, RankerConfig, component


class TrieConfig(DecoderConfig):
    """Options of all searches that only ever spell items of the catalogue."""

    offers_between: ClassVar[bool] = True

    score: Literal["vocabulary", "trie"] = Field(
        "vocabulary",
        description="Log-probabilities over the whole vocabulary (as MiniOneRec ranks), or renormalised over "
        "the tokens that continue to an item.",
    )
    table_megabytes: int = Field(
        256,
        ge=0,
        description="Memory for dense tables of the trie; levels beyond it are searched sparsely, as are "
        "those of more than 1,024 tokens of which a node has few.",
    )

    @property
    def renormalises(self) -> bool:
        """With `score: trie`."""
        return self.score == "trie"


class TrieBeamConfig(TrieConfig):
    """Beam search that only ever spells items of the catalogue."""


class MixedTrieConfig(TrieConfig):
    """Beam search by the model's probability mixed with that of a ranker, which remembers what came of
    histories like this one."""

    score: Literal["vocabulary", "trie"] = Field(
        "trie",
        description="The model's log-probabilities: renormalised over the tokens that continue to an item, "
        "and so a distribution over items as the prior is, or over the whole vocabulary.",
    )
    prior: Annotated[RankerConfig, component("ranker")] = Field(
        "item_knn_directed",
        description="The ranker that is mixed in, fitted on the training part; it sees the items that a "
        "prompt shows.",
        validate_default=True,
    )
    weight: float = Field(
        0.5, ge=0, le=1, description="The prior's share of the probability; the model has the rest."
    )
    learned: bool = Field(
        False,
        description="Whether the share is one for each user, from the state that answers: a linear map that "
        "begins at `weight` and is trained by the SFT objective `mixture`.",
    )
    normalise: Normalised = None

    @property
    def learns(self) -> bool:
        """By `learned`."""
        return self.learned

    @property
    def mixed_in(self) -> RankerConfig:
        """The prior."""
        return self.prior

    @property
    def learnt_beside(self) -> Mapping[str, Any]:
        """The prior, whatever tables call it, and how its scores are read where not as they would be."""
        prior = self.prior.model_dump(mode="json", exclude={"label"})
        usual = self.normalise == self.prior.normalised_by
        return {"use": self.use, "prior": prior, "normalise": None if usual else self.normalise}

    @model_validator(mode="after")
    def _can_be_moved(self) -> Self:
        if self.learned and not 0 < self.weight < 1:
            raise ValueError(f"a share that is learned begins between 0 and 1 (got weight {self.weight:g})")
        return self


class TrieSampleConfig(TrieConfig):
    """Items drawn from the model's distribution over the catalogue, as candidates of a rollout."""

    draws: ClassVar[bool] = True

    width: int = Field(8, ge=1, description="Items drawn: as many as a rollout has candidates.")
    replacement: bool = Field(
        True,
        description="Independent draws, an item possibly several times; else distinct items (Gumbel top-k).",
    )
    temperature: float = Field(
        1.0, gt=0, description="Divides the logits that are drawn from; reported log-probabilities keep 1."
    )
    score: Literal["vocabulary", "trie"] = Field(
        "trie",
        description="Reported log-probabilities: over the whole vocabulary, or renormalised over the tokens "
        "that continue to an item. Draws are the same: in proportion, among those tokens.",
    )
