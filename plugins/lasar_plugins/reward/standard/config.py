"""Options of the rewards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.spec import ComponentConfig


class RuleConfig(ComponentConfig):
    """The reward of a hit."""


class PrefixConfig(ComponentConfig):
    """The reward of sharing the first levels of the target's SID."""


class NdcgConfig(ComponentConfig):
    """The reward of what stands beside a hit."""

    sign: Literal[-1, 1] = Field(
        -1,
        description="-1 takes from candidates that miss, as the paper's text and MiniOneRec's code have it; "
        "1 gives to them, as Eq. 10 is printed.",
    )
