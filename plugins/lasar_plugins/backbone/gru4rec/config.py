"""Options of GRU4Rec."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import BackboneConfig


class Gru4RecConfig(BackboneConfig):
    """Gated recurrent units over items; the output is tied to the input embeddings.

    The loss is the stage's: with the quantizer `item_id`, a softmax over the catalogue in place of the
    paper's pairwise ones.
    """

    reads_text: ClassVar[bool] = False
    loads_as: ClassVar[str | None] = None

    hidden_size: int = Field(64, ge=2, description="Width of embeddings and of what is read out.")
    state_size: int = Field(128, ge=1, description="Width of the recurrent state.")
    layers: int = Field(1, ge=1, description="Recurrent layers.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Of inputs, and between layers.")
    initializer_std: float = Field(0.02, gt=0, description="Standard deviation of initial embeddings.")

    @property
    def from_scratch(self) -> bool:
        """Always: nothing is pretrained."""
        return True
