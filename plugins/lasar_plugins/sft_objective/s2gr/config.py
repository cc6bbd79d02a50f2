"""Options of the term on the thought before each token."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import ComponentConfig, LatentLoopConfig, SftObjectiveConfig, component


class S2grConfig(SftObjectiveConfig):
    """The thought before each token held to the next item's cluster at that level of the semantic ID."""

    about_thoughts: ClassVar[bool] = True

    source: Annotated[ComponentConfig, component("text_encoder")] = Field(
        "cooccurrence",
        description="The vectors of items that clusters are the means of, from the training part alone.",
        validate_default=True,
    )
    clusters: Literal["prefix", "code"] = Field(
        "prefix",
        description="Which items are a cluster of level m: those that share the first m codes, or the m-th.",
    )
    temperature: float = Field(0.1, gt=0, description="That cosines with clusters are divided by.")
    soft: float = Field(
        0.0,
        ge=0,
        description="Temperature of the target, the softmax of the next item's own cosines with the "
        "clusters; at 0 it is the item's cluster alone.",
    )

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """One that does not think between tokens has one thought for all of them."""
        if loop.thinks_between:
            return None
        return f"holds a thought before each token, and {loop.use} has none there; set 'latent_loop: s2gr'"
