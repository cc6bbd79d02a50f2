"""Options of GRPO."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from lasar_kit.spec import RlObjectiveConfig


class GrpoConfig(RlObjectiveConfig):
    """Group-relative policy optimisation (paper Eq. 5)."""

    compares_candidates: ClassVar[bool] = True

    clip: float = Field(0.2, gt=0, description="How far the ratio may leave 1 before it is clipped.")
    clip_high: float | None = Field(
        None, gt=0, description="How far above 1 it may go, if not as far as below (DAPO: 0.28)."
    )
    beta: float = Field(
        1e-3,
        ge=0,
        description="Weight of the KL divergence from the reference; with 0, and `ratio: old`, the reference "
        "is not read, and no KL is logged.",
    )
    ratio: Literal["old", "ref"] = Field(
        "old",
        description="What the policy is divided by: itself as it was when it made the candidates, or the "
        "frozen reference (Eq. 5 as printed).",
    )
    level: Literal["token", "sequence"] = Field(
        "token",
        description="Whether each token has its ratio, clipped by itself, and the KL is a mean over tokens; "
        "or each candidate one ratio, the product over its tokens, and the KL their sum.",
    )
    kl: Literal["k3", "exact"] = Field(
        "k3",
        description="KL estimated from the candidates' tokens, or over all tokens at each place. The "
        "estimate is for candidates drawn from the policy; on those of a beam it comes out too small, since "
        "what the policy has lost to the reference is seldom among them.",
    )
    scale: Literal["group_std", "none"] = Field(
        "group_std",
        description="What a reward's distance from its group's mean is divided by to be the advantage: the "
        "group's standard deviation, or nothing (Dr. GRPO).",
    )
    std_ddof: int = Field(
        1,
        ge=0,
        le=1,
        description="Taken off the group's size in the standard deviation: 1 sample, 0 population.",
    )
    epsilon: float = Field(1e-4, ge=0, description="Added to the standard deviation of a group's rewards.")
    constant_groups: Literal["skip", "keep"] = Field(
        "skip",
        description="Groups whose rewards are all equal: left out of the loss as if they were not there, or "
        "kept with advantage 0 so that their KL counts.",
    )
    mean_over: Literal["prompts", "varied"] = Field(
        "prompts",
        description="With `constant_groups: skip`, what the loss is a mean over: all prompts, so that a "
        "group weighs the same however few have rewards that differ; or those few alone, which makes each "
        "the louder beside REINFORCE and the alignment, the fewer there are.",
    )

    @property
    def acts_later(self) -> tuple[str, ...]:
        """Its clip, of ratios to the policy that made the candidates."""
        return ("clip", "clip_high") if self.ratio == "old" else ()

    @property
    def compares_reference(self) -> bool:
        """In its KL, or in its ratio."""
        return self.beta > 0 or self.ratio == "ref"

    @property
    def kl_over(self) -> Literal["token", "sequence"] | None:
        """By `level`."""
        return self.level if self.compares_reference else None

    @model_validator(mode="after")
    def _options_act(self) -> GrpoConfig:
        fields = type(self).model_fields
        for name in ("std_ddof", "epsilon"):
            if self.scale == "none" and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} has no effect with scale none, only with group_std")
        if self.constant_groups == "keep" and self.mean_over == "varied":
            raise ValueError("mean_over: varied leaves out what constant_groups: keep would keep")
        return self


class SrpoConfig(GrpoConfig):
    """Sparse-regularised group policy optimisation: GRPO with a term for what any of K candidates hits."""

    compares_texts: ClassVar[bool] = True

    k: int = Field(4, ge=1, description="Candidates of which one is to hit (pass@K).")
    bonus: float = Field(1.0, ge=0, description="Weight of the pass@K term beside the group's z-score.")
    success: float = Field(1.0, description="The least reward of a candidate that counts as a hit.")

    @property
    def least_candidates(self) -> int:
        """As many as K."""
        return self.k
