"""The seven interfaces of a latent-reasoning recommender, and those of what surrounds it.

A component is built as `Component(config, env)`: `config` is its own pydantic model (a subclass of
`lasar_kit.spec.ComponentConfig`, or of its kind's own base), `env` a `lasar_kit.core.values.Env`. What only
some components of a kind can do is a Protocol of its own (`lasar_kit.core.capabilities`), or, where it must
be known before anything is built, a class variable of the config's base. Shape letters as in `values.py`, and
P tokens already in a context, K codes a level, E embedding width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Anchors, Beams, Context, Judged, LatentTrace, Prompt, Rollout, SidTable


@runtime_checkable
class Quantizer(Protocol):
    """Turns item embeddings into codes, level by level (paper Eq. 1)."""

    sizes: tuple[int, ...]
    """Codes at each of the M levels."""

    def fit(self, items: Float[Tensor, "I E"]) -> None:
        """Learn codebooks from the catalogue's embeddings."""

    def encode(self, items: Float[Tensor, "I E"]) -> Int[Tensor, "I M"]:
        """Codes of items, `0 <= code < sizes[level]`."""

    def decode(self, codes: Int[Tensor, "I m"]) -> Float[Tensor, "I E"]:
        """Reconstruction from the first m levels, m <= M."""

    def state_dict(self) -> dict[str, Tensor]:
        """All that was fitted."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""


@runtime_checkable
class Backbone(Protocol):
    """A causal language model, read through the token tree; also a `torch.nn.Module`.

    One that does not read a prompt as a chain of its own tree, such as an encoder, also has `read_prompts`
    (`lasar_kit.core.capabilities.ReadsPrompts`).
    """

    hidden_size: int
    """The width D of its states."""
    tokenizer: Any
    """A transformers tokenizer that holds the SID and latent tokens."""

    def embed(self, ids: Int[Tensor, "*S"]) -> Float[Tensor, "*S D"]:
        """Input embeddings of token ids."""

    def advance(
        self, inputs: Float[Tensor, "B Q D"], parent: Int[Tensor, "B Q"], past: Context | None
    ) -> tuple[Float[Tensor, "B Q D"], Context]:
        """Read Q more tokens a row; token q becomes node P + q of the row's tree.

        `parent[b, q]` is a node index (one of the P in `past`, or of this call, before q), or -1 for a
        root. A token sees its ancestors and itself; its position is its parent's plus one, a root's 0.
        A left pad is a root that nobody descends from. Returns the states after the final norm and the
        grown context; `past` is left as it was, and may be advanced again.
        """

    def logits(
        self, hidden: Float[Tensor, "*S D"], tokens: Int[Tensor, " n"] | None = None
    ) -> Float[Tensor, "*S V"]:
        """Next-token logits of states that `advance` gave: of all tokens, or of these alone, in order."""

    def embedding_norm(self) -> Float[Tensor, ""]:
        """Mean norm of all input embeddings, without gradient (and without dropout, unlike `embed`)."""

    def save(self, directory: Path) -> None:
        """Write model and tokenizer, so that `env.checkpoint` restores them and, where its config says so
        (`BackboneConfig.loads_as`), transformers' classes load them."""


@runtime_checkable
class LatentLoop(Protocol):
    """Thinks between prompt and answer (paper section 2.2, Eq. 3)."""

    transparent: bool
    """Whether it adds nothing: the answer follows the prompt directly, and one causal pass over a
    history then answers at every item position (packed training)."""

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Think `depth[b, r]` steps in each branch.

        `steps >= depth.max()` is how many the loop runs; surplus steps change nothing. It stands apart
        from `depth` so that sharded ranks can all run the global maximum. A loop that halts by itself takes
        `depth` for the most it may think.
        """


@runtime_checkable
class DepthPolicy(Protocol):
    """Chooses how long to think (paper section 2.2, policy head)."""

    support: tuple[int, ...]
    """The C depths to choose from, ascending: 1..8, `(4,)` for a fixed one, `(0,)` for none."""

    def logits(self, prompt: Prompt) -> Float[Tensor, "B R C"]:
        """Unnormalised log-probabilities over `support`, from what was read."""


@runtime_checkable
class Aligner(Protocol):
    """Holds thoughts to anchors (paper Eq. 4).

    The term is a mean over the branches with a thought and an anchor; an aligner that leaves some of these
    out says so (`lasar_kit.core.capabilities.SkipsBranches`).
    """

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Float[Tensor, "B R"]:
        """A loss a branch, 0 where it has no thought or no anchor."""


@runtime_checkable
class SftObjective(Protocol):
    """One term of the supervised loss (paper section 2.3).

    The term is a sum over things of the global batch, divided by how many there are: both are additive over
    parts of a batch, so that the loss is the same however a batch is split. One that learns anything is a
    `torch.nn.Module`, trained, saved and restored with the recommender. One with samples of its own also has
    `draw` and `collate` (`lasar_kit.core.capabilities.OwnSamples`).
    """

    needs: tuple[str, ...]
    """Parts that a lesson must hold: any of `anchors`, `rationale`; and `depth`, where the count reads it."""

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Over how many things of a lesson the term is a mean, from what is known before it is read; `rows`
        are the objective's own samples, if it has any."""

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over these things, float32; 0 with a graph or without one where there are none."""


@runtime_checkable
class RLObjective(Protocol):
    """One term of the RL loss (paper Eqs. 5 and 6).

    One that learns or remembers anything is a `torch.nn.Module`, and is saved and restored as one. The loss
    is a mean over all prompts; an objective that leaves some out says over how many it is one
    (`lasar_kit.core.capabilities.SkipsPrompts`), so that each process's loss is weighted right; one that can
    do without the reference says so (`SparesReference`), which saves its pass.
    """

    exact_kl: bool
    """Whether it reads `Rollout.ref_kl`, which costs the distributions over all tokens."""
    reads_answers: bool
    """Whether it reads log-probabilities of candidates; where no objective does, they are not computed."""

    def loss(self, rollout: Rollout) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """The loss and numbers worth logging; pure, it changes no state.

        The loss is a mean over the B prompts. Over several processes numbers are averaged, each process
        counting by its prompts; those whose name ends in `_min` or `_max` are the extremes of all.
        """

    def observe(self, rollout: Rollout) -> None:
        """Take note of a rollout once its update is done (a moving baseline, say)."""


@runtime_checkable
class Reward(Protocol):
    """Judges the candidates of a prompt (paper E.5)."""

    def reward(self, judged: Judged) -> Float[Tensor, "B G"]:
        """Float32 rewards of the candidates, that of no candidate (-1) being 0."""


@runtime_checkable
class Decoder(Protocol):
    """Ranks catalogue items after the latent loop (paper E.6.1)."""

    def bind(self, table: SidTable) -> None:
        """Prepare for a catalogue."""

    def search(self, backbone: Backbone, trace: LatentTrace, width: int) -> Beams:
        """The `width` best items of each branch."""


@runtime_checkable
class DataSource(Protocol):
    """Loads a data set."""

    def files(self) -> Sequence[Path]:
        """List the files that it reads; a change in any of them makes the data set a new one."""

    def load(self) -> Dataset:
        """The data set, users of fewer than three items left out; raises `UserError` on bad input."""


@runtime_checkable
class TextEncoder(Protocol):
    """Embeds the items of a catalogue."""

    def encode(self, items: pl.DataFrame, train: Sequences) -> Float[np.ndarray, "I E"]:
        """One float32 vector an item. `train` is the training part alone, so that nothing held out leaks."""


@runtime_checkable
class PromptTemplate(Protocol):
    """The text around a user's history: `head, item, separator, item, …, item, tail`, then the answer."""

    start_token: bool
    """Whether the tokenizer's BOS (or, lacking one, EOS) token comes first."""
    head: str
    """Before the first item."""
    separator: str
    """Between two items."""
    tail: str
    """Behind the last item, before the answer."""


@runtime_checkable
class Teacher(Protocol):
    """Writes reasoning text about users' histories, from which training anchors are made (paper 2.3, E.2)."""

    wants_target: bool
    """Whether requests are to hold the item that came next; its text then draws on the answer."""

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterable[tuple[int, str | None]]:
        """`(index of the request, text)` for each request once, in any order; None where there is no text.

        Lazy where it is slow, so that what is written is not lost; `UserError` on bad input.
        """


@runtime_checkable
class Segmenter(Protocol):
    """Cuts a reasoning text into the steps that thoughts are aligned to (paper 2.3)."""

    def segment(self, text: str) -> list[str]:
        """Segments in order, none of them empty; no segment for an empty text."""


@runtime_checkable
class Ranker(Protocol):
    """Ranks the catalogue behind histories: a baseline, or a recommender that was trained elsewhere.

    It gives scores and makes no lists: who asks leaves histories out or not, so that one pass answers both.
    """

    draws_ties: bool
    """Whether items of equal scores come in any order, so that a metric is its mean over all orders; if not,
    they come in the order of the item table."""

    def fit(self, train: Sequences, items: pl.DataFrame) -> None:
        """Learn from the training part alone, whose numbers are rows of `items`; begins anew each time.

        `UserError` for what it cannot be fitted on.
        """

    def score(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Float[np.ndarray, "U I"]:
        """A float64 score of each item behind each history of rows, oldest first, the best highest; -inf for
        an item that is not to be listed. The history's own items have scores like all others."""


INTERFACES: dict[str, type] = {
    "quantizer": Quantizer,
    "backbone": Backbone,
    "latent_loop": LatentLoop,
    "depth_policy": DepthPolicy,
    "aligner": Aligner,
    "sft_objective": SftObjective,
    "rl_objective": RLObjective,
    "decoder": Decoder,
    "dataset": DataSource,
    "text_encoder": TextEncoder,
    "prompt": PromptTemplate,
    "teacher": Teacher,
    "segmenter": Segmenter,
    "reward": Reward,
    "ranker": Ranker,
}
"""The interface of each kind of component; that of a stage is `lasar_kit.data.stage_context.Stage`."""
