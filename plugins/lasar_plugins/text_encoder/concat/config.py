"""Options of a concatenation of encoders."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lasar_kit.spec import ComponentConfig, SpecModel, component


class Part(SpecModel):
    """One encoder and its weight."""

    encoder: Annotated[ComponentConfig, component("text_encoder")] = Field(description="A text encoder.")
    weight: float = Field(1.0, gt=0, description="Length of this part's vectors.")


class ConcatConfig(ComponentConfig):
    """Options of `concat`."""

    encoders: tuple[Part, ...] = Field(
        min_length=1, description="Encoders, each with the weight of its part: `{encoder: …, weight: 1}`."
    )
