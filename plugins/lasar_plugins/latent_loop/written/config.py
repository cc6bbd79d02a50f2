"""Options of written reasoning."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lasar_kit.core.vocabulary import END_THINK, THINK
from lasar_kit.spec import LatentLoopConfig


class WrittenConfig(LatentLoopConfig):
    """Words before the answer. Depth 0 answers directly, any other depth writes first."""

    tokens: ClassVar[tuple[str, ...]] = (THINK, END_THINK)
    writes: ClassVar[bool] = True

    limit: int = Field(
        256, ge=1, description="Tokens of a text; one that is not ended by then is ended for it."
    )
    text: Literal["greedy", "sample"] = Field(
        "greedy",
        description="Which words are written outside of rollouts, whose texts are always drawn: the "
        "likeliest one each time, or a drawn one, the same ones for the same history.",
    )
    temperature: float = Field(
        1.0,
        gt=0,
        description="Divides the logits that words are drawn from; reported log-probabilities keep 1.",
    )
