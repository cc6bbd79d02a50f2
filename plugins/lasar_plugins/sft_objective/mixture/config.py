"""Options of the cross-entropy under a mixture."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import SftObjectiveConfig


class MixtureConfig(SftObjectiveConfig):
    """Options of `mixture`; the prior is the decoder's, as the spec's `decoder` says."""

    trains_decoder: ClassVar[bool] = True

    folds: int = Field(
        5,
        ge=2,
        description="Parts of the users; a prior that is asked about those of one was fitted on the others, "
        "as it would else remember the very item that is to be learnt.",
    )
