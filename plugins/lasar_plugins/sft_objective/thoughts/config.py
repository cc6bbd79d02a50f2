"""Options of the terms on each thought."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import RankerConfig, SftObjectiveConfig, component

TEMPERATURE = (
    "That the logits of the last step are divided by; the objective answer has an option of its own."
)
NUMBER = "Whether a prompt's steps are averaged, as ReaRec's code does, or added up."


class ThoughtsConfig(SftObjectiveConfig):
    """Options of a term on thoughts."""

    about_thoughts: ClassVar[bool] = True


class EachThoughtConfig(ThoughtsConfig):
    """The next item behind every step: of N, step t at the temperature `temperature * alpha^(N - t)`, times
    `t^power`."""

    temperature: float = Field(1.0, gt=0, description=TEMPERATURE)
    alpha: float = Field(
        1.0,
        gt=0,
        description="How many times higher the temperature of a step is than the next one's (ReaRec).",
    )
    power: float = Field(
        0.0, ge=0, description="Of the number of a step, from 1, that multiplies its temperature (ManCAR: 2)."
    )
    weights: tuple[float, ...] = Field(
        (1.0,), min_length=1, description="Of the steps, from the first; the last holds for all further ones."
    )
    start: bool = Field(
        False, description="Whether the prompt's last state is a step, the first of them, as in ReaRec."
    )
    last: bool = Field(
        True, description="Whether the last step is one of them: in ReaRec that is the answer's own term."
    )
    over: Literal["mean", "sum"] = Field("mean", description=NUMBER)


class RearecPrlConfig(ThoughtsConfig):
    """ReaRec's progressive learning beside the answer: early steps at higher temperatures, and InfoNCE."""

    temperature: float = Field(0.07, gt=0, description=TEMPERATURE)
    alpha: float = Field(
        5.0, gt=0, description="How many times higher the temperature of a step is than the next one's."
    )
    progressive: float = Field(1.0, ge=0, description="Weight of the early steps' cross-entropies.")
    contrast: float = Field(1.0, ge=0, description="Weight of InfoNCE between noisy and clean thoughts.")
    noise: float = Field(
        0.01,
        gt=0,
        description="Standard deviation of what is added to each thought's input in the noisy pass.",
    )
    warmup: int = Field(2, ge=0, description="Epochs without InfoNCE, at first.")
    similarity: Literal["dot", "cosine"] = Field(
        "cosine",
        description="Between thoughts, divided by the temperature. ReaRec's code takes the product, which of "
        "thoughts behind a layer norm outweighs all other terms.",
    )
    negatives: Literal["batch", "row"] = Field(
        "batch",
        description="Whose clean thoughts a noisy one is told from: those of prompts of the other rows of a "
        "forward pass, whose number hangs on how a batch is split, or of its packed row's other prompts.",
    )
    over: Literal["mean", "sum"] = Field("mean", description=NUMBER)


class RearecErlConfig(ThoughtsConfig):
    """ReaRec's ensemble learning beside the answer: minus the KL divergence of steps from each other."""

    temperature: float = Field(0.07, gt=0, description="That all steps' logits are divided by.")


class MancarNeighboursConfig(ThoughtsConfig):
    """Steps held to the next item and to what a ranker lists behind the last one, early steps the most to
    these neighbours (ManCAR)."""

    source: Annotated[RankerConfig, component("ranker")] = Field(
        "swing",
        description="The ranker that names an item's neighbours: the best behind it alone, fitted on the "
        "training part.",
        validate_default=True,
    )
    neighbours: int = Field(10, ge=0, description="Most neighbours of an item.")
    gamma: float = Field(
        1.0,
        gt=0,
        description="Of N steps, step t spreads its target over ranks by exp(-rank / (gamma * (N - t + 1))).",
    )
    temperature: float = Field(1.0, gt=0, description="That the logits of steps are divided by.")
    start: bool = Field(True, description="Whether the prompt's last state is a step, the first of them.")
    over: Literal["mean", "sum"] = Field(
        "sum", description="Whether a prompt's steps are added up, as ManCAR's code does, or averaged."
    )
