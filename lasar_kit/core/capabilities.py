"""Capabilities of only some components of a kind: a Protocol each, beside those of `interfaces.py`.

A component has a capability if it has its methods or attributes; the laws of a capability are checked where
it is there, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.interfaces import Aligner, Backbone, TextEncoder
from lasar_kit.core.lesson import Prompts, TaskRows
from lasar_kit.core.values import Beams, LatentTrace, Prompt, SidTable


@runtime_checkable
class Remarks(Protocol):
    """A quantizer that has more to say than how good its codes are."""

    remarks: Mapping[str, Any]
    """For the report of the stage `tokenize`, as JSON."""


@runtime_checkable
class BoundsPrompts(Protocol):
    """A prompt template that bounds the length of prompts: the oldest items go first."""

    max_length: int | None
    """Tokens of a prompt at most, start token, text and SIDs; thoughts and answer come on top. None: any."""


@runtime_checkable
class EmbedsLater(Protocol):
    """A text encoder that, once it has embedded a catalogue, embeds items that come later by their fields."""

    embeds_later: bool
    """Whether it does, as its options are."""

    def embed(self, items: pl.DataFrame) -> Float[np.ndarray, "n E"]:
        """One float32 vector an item, beside those that `encode` gave: the one that the item would have got
        among them, had nobody bought it. Raises `UserError` for what cannot be embedded."""

    def state_dict(self) -> dict[str, Tensor]:
        """All that `encode` fitted."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""


def embedder(encoder: TextEncoder) -> EmbedsLater | None:
    """The text encoder itself where it embeds items that come later, else None."""
    return encoder if isinstance(encoder, EmbedsLater) and encoder.embeds_later else None


@runtime_checkable
class ReadsPrompts(Protocol):
    """A backbone that does not read a prompt as a chain of its own token tree: an encoder-decoder."""

    def read_prompts(self, prompts: Prompts) -> Prompt:
        """The prompts, read; answers are then spelled by `advance` behind each `tip`."""


@runtime_checkable
class FillsGaps(Protocol):
    """A backbone that reads both ways, and predicts what is hidden from what stands on either side
    (`BackboneConfig.fills_gaps`). It answers by what it predicts of one more place behind a prompt."""

    def fill(
        self, ids: Int[Tensor, "N L"], real: Bool[Tensor, "N L"], masked: Bool[Tensor, "N L"]
    ) -> Float[Tensor, "N L D"]:
        """States of all places of N sequences, of which only those that are `real` are read, and those that
        are `masked` without their tokens, which their states then predict."""


@runtime_checkable
class DrawsByRow(Protocol):
    """A decoder or a latent loop that draws: it takes its next numbers from `draws`, row by row, so that they
    are the same however a batch is shared out."""

    def draw_from(self, draws: RowDraws) -> None:
        """Take the numbers of the next call from `draws`."""


Remembered = Callable[[Sequence[Int[np.ndarray, " H"]], Int[np.ndarray, "n M"]], Float[np.ndarray, " n"]]
"""The probability that a prior gives to the SID of an item, its tokens, behind a history of rows; float64."""


@runtime_checkable
class Mixes(Protocol):
    """A decoder that mixes the model's probabilities of items with those of a prior over items."""

    def odds(self, last: Float[Tensor, "*S D"]) -> Float[Tensor, "*S"]:
        """Return the log-odds of the prior's share behind states that answer, with the gradient of what is
        learnt of it."""

    def remembered(self, train: Sequences) -> Remembered:
        """Fit the prior on these sequences alone, and leave the one that ranks as it is."""


@runtime_checkable
class SearchesAmong(Protocol):
    """A decoder that searches among some items only: what is not allowed takes no place in the search.

    Of other decoders lists hold what is left of a search among all.
    """

    def search_among(self, backbone: Backbone, trace: LatentTrace, width: int, allowed: Allowed) -> Beams:
        """The `width` best of the items that each row may list, with the scores that `search` gives them; -1
        where it may list fewer. Of items that share a SID the first stands for all, if any is allowed."""


@runtime_checkable
class Extends(Protocol):
    """A decoder whose catalogue may grow at less than the cost of binding it anew, or a latent loop that
    looks up the items that prompts show."""

    def extend(self, table: SidTable) -> None:
        """Take in more items: `table` begins with the catalogue that is bound, or that a loop was built with.
        Searches and thoughts are then those of one that was bound to, or built with, all of it."""


@runtime_checkable
class ScoresWithout(Protocol):
    """A ranker that scores few items, and others once histories are left out: a model with a beam."""

    def score_both(
        self, histories: Sequence[Int[np.ndarray, " H"]]
    ) -> tuple[Float[np.ndarray, "U I"], Float[np.ndarray, "U I"]]:
        """What `score` gives, and the scores of lists that hold no item of their history."""


@runtime_checkable
class GivesProbabilities(Protocol):
    """A ranker that knows of which probabilities its scores are: a model with a beam, a mixture.

    Of other rankers they are made by `RankerConfig.normalised_by`.
    """

    def probabilities(self, scores: Float[np.ndarray, "U I"]) -> Float[np.ndarray, "U I"] | None:
        """Return those of scores that it gave, 0 for -inf; what they lack of 1 is that of items that are not
        listed. None where, as its options are, it does not know."""


@runtime_checkable
class Writes(Protocol):
    """A latent loop that writes words before the answer (`LatentLoopConfig.writes`)."""

    def spell(self, backbone: Backbone, prompt: Prompt, written: Int[Tensor, "B R W"]) -> LatentTrace:
        """Return what `run` would leave had it written these tokens (-1 past the end), with their
        log-probabilities and their gradient."""


@runtime_checkable
class Opens(Protocol):
    """A latent loop that begins with the same token behind every prompt, whatever the depth.

    A recommender then reads the token with the prompt, where it can, and the loop finds its state there
    (`Prompt.opened`); where it does not, the loop reads it itself.
    """

    @property
    def opening(self) -> str | None:
        """The token; None of a loop that has none, as its options are."""


@runtime_checkable
class Halts(Protocol):
    """A latent loop that ends its thinking itself (`LatentLoopConfig.halts`)."""

    def halted(
        self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int
    ) -> LatentTrace:
        """Return what `run` would leave had it stopped at these depths, with the log-probability of that and
        its gradient (`depth_logp`); it runs `steps` thoughts."""


@runtime_checkable
class SkipsBranches(Protocol):
    """An aligner that can leave out some of the branches that have a thought and an anchor."""

    skips: bool
    """Whether it does, as its options are: depths are then settled before the first gradient."""

    def counted(self, thoughts: Int[Tensor, "B R"], segments: Int[Tensor, "B R"]) -> Bool[Tensor, "B R"]:
        """Which branches its loss is a mean over, by their numbers of thoughts and of segments."""


def aligned(aligner: Aligner, thoughts: Int[Tensor, "*S"], segments: Int[Tensor, "*S"]) -> Bool[Tensor, "*S"]:
    """Which branches an aligner's loss is a mean over: those with a thought and a segment, less those that it
    leaves out."""
    both = (thoughts > 0) & (segments > 0)
    return both & aligner.counted(thoughts, segments) if isinstance(aligner, SkipsBranches) else both


@runtime_checkable
class SkipsPrompts(Protocol):
    """An RL objective that leaves out some prompts."""

    def counted(self, rewards: Float[Tensor, "B G"], valid: Bool[Tensor, "B G"]) -> int:
        """How many prompts its loss is a mean over, from what a rollout holds of both."""


@runtime_checkable
class SparesReference(Protocol):
    """An RL objective that may do without the reference, as its options are."""

    reads_reference: bool
    """Whether it reads `ref_logp`, `ref_written_logp` or `ref_kl`. Where no objective does, the reference
    reads nothing: they are NaN, and `ref_kl` is None."""


@runtime_checkable
class OwnSamples(Protocol):
    """An SFT objective with samples of its own beside next items: `view.rows` holds them."""

    size: int
    """How many samples there are; one without any stops the run with a clear line."""

    def draw(self, update: int) -> Sequence[Any]:
        """The samples of one update, of all processes together: the same on each of them."""

    def collate(self, samples: Sequence[Any]) -> TaskRows:
        """Some of these as a batch; of none, one that asks for nothing, so that all processes make as many
        passes."""
