"""Options of losses with negatives."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import SftObjectiveConfig


class SampledSoftmaxConfig(SftObjectiveConfig):
    """Cross-entropy of an answer's token against a sample of the others of its level, shared by the batch.

    It takes the place of `answer`. With the quantizer `item_id` tokens are items.
    """

    instead_of: ClassVar[str | None] = "answer"

    negatives: int = Field(256, ge=1, description="Tokens drawn for each pass; `in_batch` draws none.")
    source: Literal["uniform", "popularity", "in_batch"] = Field(
        "uniform",
        description="Draws any token alike, by how often it stands in the training part, or takes the "
        "answers of the batch.",
    )
    correction: Literal["both", "negatives", "none"] = Field(
        "both",
        description="Takes the logarithm of how often a token is to be drawn off the logits of answer and "
        "negatives (Bengio and Senecal 2008), off those of negatives alone, which then stand for the whole "
        "level, or off none.",
    )


class BceConfig(SftObjectiveConfig):
    """Binary cross-entropy of each answer's token and of others of its level, drawn for it alone.

    It takes the place of `answer`; one negative and no calibration is the loss of SASRec's paper.
    """

    instead_of: ClassVar[str | None] = "answer"

    negatives: int = Field(1, ge=1, description="Tokens drawn for each answer's token, all alike but itself.")
    calibration: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How far the answer's score is made up for the few negatives, by gBCE (t in its paper).",
    )
