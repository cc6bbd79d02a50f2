"""Options of optimised product quantization."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.core.residual_options import LevelsConfig


class OpqConfig(LevelsConfig):
    """Options of `opq`."""

    levels: int = Field(
        16, ge=1, le=26, description="Levels M: parts of a vector, each with a code of its own."
    )
    rounds: int = Field(
        8, ge=0, description="Rounds of fitting the codes and turning the vectors towards them."
    )
    max_iterations: int = Field(25, ge=1, description="Rounds of Lloyd's algorithm a part, at most.")
