"""Options of the stage evaluate; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from lasar_kit.spec import Around, DecoderConfig, RankerConfig, Ranks, StageConfig, component
from lasar_kit.spec.held import Held
from lasar_kit.spec.precision import Precision


class EvaluateConfig(StageConfig):
    """Leave-one-out evaluation over the whole catalogue, beside rankers that need no language model."""

    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids", "checkpoint")
    produces: ClassVar[str] = "report"
    sharded: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("seed", "max_history", "decoder")
    longest_list: ClassVar[int] = 20

    label: str | None = Field(
        None, min_length=1, description="What tables call the model; the stage's name when absent."
    )
    split: Literal["test", "validation"] = Field("test", description="Which held-out item to predict.")
    exclude_history: bool = Field(
        False,
        description="Whether the headline numbers and the predictions leave a user's history out of the "
        "lists; metrics are reported with it and without in any case.",
    )
    beside: tuple[Annotated[RankerConfig, component("ranker")], ...] = Field(
        ("popularity", "item_knn", "item_knn_directed", "random"),
        description="Rankers that are fitted on the training part and asked for the same users, a row each.",
        validate_default=True,
    )
    depth: Literal["argmax", "sample"] | Annotated[int, Field(ge=0)] = Field(
        "argmax",
        description="How long to think: what the policy finds best, a draw from it, or a number for all.",
    )
    decoder: Annotated[DecoderConfig | None, component("decoder"), Ranks] = Field(
        None, description="How items are ranked here; as the spec's `decoder` says when absent."
    )
    cold: Annotated[float, Field(gt=0, lt=1)] | Annotated[tuple[str, ...], Field(min_length=1)] | None = (
        Field(
            None,
            description="Items that all of the run's training goes without, as a share drawn by the seed or "
            "by raw id; they then come to the catalogue as new ones do, and users whose held-out item is one "
            "of them are reported apart.",
        )
    )
    max_users: int = Field(0, ge=0, description="Users asked, drawn by the seed; 0 for all.")
    batch_size: int = Field(64, ge=1, description="Users decoded at once.")
    keep: int = Field(20, ge=1, description="Items of a line in predictions.jsonl.")
    precision: Precision = Field("fp32", description="Of the forward passes.")

    @field_validator("beside")
    @classmethod
    def _told_apart(cls, beside: tuple[RankerConfig, ...]) -> tuple[RankerConfig, ...]:
        """Rows are called by these names."""
        names = [ranker.called for ranker in beside]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rows would be called {name!r}; give one of them a 'label'")
        return beside

    @property
    def holds_out(self) -> Held | None:
        """By `cold`."""
        return self.cold

    @property
    def own_decoder(self) -> DecoderConfig | None:
        return self.decoder

    @property
    def leaves_out_history(self) -> bool:
        """By `exclude_history`."""
        return self.exclude_history

    def mistakes(self, around: Around) -> Iterator[tuple[str, str]]:
        """A depth must be one that the model's policy can choose, as far as its config tells; a loop that
        thinks between answer tokens needs a decoder that lets it."""
        quantizer = around.inputs["sids"][1].own_quantizer
        if self.cold is not None and quantizer is not None and not quantizer.encodes_later:
            yield "cold", f"quantizer {quantizer.use} has no codes for items that come later; rq_kmeans has"
        support = around.policy.support if around.policy is not None else None
        decoder = self.decoder or around.decoder
        if around.loop is not None and around.loop.thinks_between and not decoder.offers_between:
            yield (
                "decoder",
                (f"{around.loop.use} thinks between answer tokens; decoder {decoder.use} does not let it"),
            )
        if support is not None and isinstance(self.depth, int) and self.depth not in support:
            valid = ", ".join(map(str, support))
            yield "depth", f"depth {self.depth} cannot be forced: this model's depth policy has {valid}"
