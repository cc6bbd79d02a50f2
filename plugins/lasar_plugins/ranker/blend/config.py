"""Options of the ranker `blend`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from lasar_kit.spec import Normalised, RankerConfig, SpecModel, component


class Member(SpecModel):
    """One ranker and its share."""

    ranker: Annotated[RankerConfig, component("ranker")] = Field(description="A ranker.")
    share: float | None = Field(
        None,
        gt=0,
        description="Its share of the probability, beside those of the others; given for all or none.",
    )
    normalise: Normalised = None


class BlendConfig(RankerConfig):
    """Options of `blend`."""

    of: tuple[Member, ...] = Field(
        min_length=1,
        description="Rankers, each with its share: `{ranker: …, share: 0.5}`; all are equal where none is "
        "given.",
    )

    @field_validator("of")
    @classmethod
    def _shared_out(cls, of: tuple[Member, ...]) -> tuple[Member, ...]:
        """A share means something beside others alone."""
        without = [place for place, member in enumerate(of) if member.share is None]
        if 0 < len(without) < len(of):
            place = without[0]
            raise ValueError(
                f"member {place} ({of[place].ranker.called}) has no share, where others have; give one to "
                "all or to none"
            )
        return of

    @property
    def trained_before(self) -> tuple[str, ...]:
        """Those of its members."""
        return tuple(name for member in self.of for name in member.ranker.trained_before)

    @property
    def shares(self) -> list[float]:
        """Of the members, adding up to 1."""
        given = [1.0 if member.share is None else member.share for member in self.of]
        return [share / sum(given) for share in given]
