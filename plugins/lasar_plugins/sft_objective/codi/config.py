"""Options of self-distillation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lasar_kit.spec import LatentLoopConfig, SftObjectiveConfig


class CodiConfig(SftObjectiveConfig):
    """The model behind its thoughts held to itself behind a text, which it learns to write (CODI)."""

    about_thoughts: ClassVar[bool] = True

    distill: float = Field(1.0, ge=0, description="Weight of the distance of both states (CODI: gamma).")
    teacher: float = Field(
        1.0, ge=0, description="Weight of the text's own cross-entropy, and the answer's behind it (beta)."
    )
    distance: Literal["l1", "smooth_l1"] = Field(
        "l1", description="Mean over coordinates: absolute, as printed, or Huber's, as in the authors' code."
    )
    divide: Literal["std", "none"] = Field(
        "std",
        description="What a distance is divided by: the standard deviation of the teacher's coordinates, or "
        "nothing.",
    )

    @property
    def wants(self) -> tuple[str, ...]:
        """Texts."""
        return ("rationale",)

    @property
    def trains_text(self) -> bool:
        """The teacher learns to write."""
        return True

    def unfit_loop(self, loop: LatentLoopConfig) -> str | None:
        """One without thoughts, and one that has the text before its answer anyway."""
        if loop.writes or loop.use == "none":
            why = "writes words too" if loop.writes else "has no thoughts"
            return f"distils a text into thoughts alone, and {loop.use} {why}; set 'latent_loop: coconut'"
        return None
