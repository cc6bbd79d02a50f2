"""Options of the rewards."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from lasar_kit.core.vocabulary import END_THINK
from lasar_kit.spec import ComponentConfig, RewardConfig, component


class RuleConfig(ComponentConfig):
    """The reward of a hit."""


class PrefixConfig(ComponentConfig):
    """The reward of sharing the first levels of the target's SID."""

    values: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = Field(
        None,
        min_length=1,
        description="What 1, 2, ... levels in common earn, more levels as much as the last of these, and "
        "the whole SID 1 (GREAM: [0.5, 0.707, 0.866, 0.95]); the share of levels when absent.",
    )

    @field_validator("values")
    @classmethod
    def _never_less(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and list(values) != sorted(values):
            raise ValueError(f"more levels in common must not earn less (got {list(values)})")
        return values


class FormatGateConfig(RewardConfig):
    """Another reward, for candidates behind a text of the right form alone."""

    tokens: ClassVar[tuple[str, ...]] = (END_THINK,)

    reward: Annotated[ComponentConfig, component("reward")] = Field(
        "prefix", validate_default=True, description="What a candidate earns if its text has the form."
    )
    pattern: str | None = Field(
        None,
        description="A regular expression to be found in the text, besides its having ended by itself.",
    )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error} (got {pattern!r})") from None
        return pattern


class NdcgConfig(ComponentConfig):
    """The reward of what stands beside a hit."""

    sign: Literal[-1, 1] = Field(
        -1,
        description="-1 takes from candidates that miss, as the paper's text and MiniOneRec's code have it; "
        "1 gives to them, as Eq. 10 is printed.",
    )
