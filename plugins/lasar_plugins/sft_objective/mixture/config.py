"""Options of the cross-entropy under a mixture."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import DecoderConfig, SftObjectiveConfig


class MixtureConfig(SftObjectiveConfig):
    """Options of `mixture`; the prior is the decoder's, as the spec's `decoder` says."""

    trains_decoder: ClassVar[bool] = True

    folds: int = Field(
        5,
        ge=2,
        description="Parts of the users; a prior that is asked about those of one was fitted on the others, "
        "as it would else remember the very item that is to be learnt.",
    )

    def unfit_decoder(self, decoder: DecoderConfig) -> str | None:
        """A share is learnt of a prior that can be fitted on some users and asked about others."""
        before = () if decoder.mixed_in is None else decoder.mixed_in.trained_before
        if not before:
            return super().unfit_decoder(decoder)
        return (
            "fits the decoder's prior on some users and asks it about the others, and run "
            f"{' and '.join(map(repr, before))} was trained on all of them before; leave this and the "
            "decoder's 'learned' out and choose its 'weight' by validation, or set another 'prior'"
        )
