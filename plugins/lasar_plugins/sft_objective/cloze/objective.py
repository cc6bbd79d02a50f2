"""The cloze task of BERT4Rec (Sun et al. 2019, arXiv:1904.06690, section 3.6, Eq. 8).

Draws hang on the seed, the epoch and the sample itself, so that they are the same however a batch is shared
out, and known before anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from lasar_kit.core.capabilities import FillsGaps
from lasar_kit.core.keyed import below, mixed, uniform
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.token_logp import token_logp
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.cloze.config import ClozeConfig


@dataclass(frozen=True)
class Gaps:
    """N = B x R sequences of prompt and answer, and which of their tokens are read and which masked."""

    ids: Int[Tensor, "N L"]
    real: Bool[Tensor, "N L"]
    masked: Bool[Tensor, "N L"]


class Cloze:
    """The mean over masked places, each against all tokens of its level: with one token an item, over the
    catalogue.

    Of an item of several tokens each is a place of its own. Where only the answer is masked, that is one of
    its tokens, and those behind it are not there.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: ClozeConfig, env: Env) -> None:
        assert env.table is not None
        self.config, self.seed = config, env.seed
        self.levels = [column.unique() for column in env.table.tokens.cpu().T]

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Places that are masked."""
        return int(self.gaps(lesson).masked.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Their negative log-likelihoods."""
        gaps = self.gaps(view.lesson)
        assert isinstance(view.backbone, FillsGaps), "a spec with another backbone was refused"
        states = view.backbone.fill(gaps.ids, gaps.real, gaps.masked)
        states, hidden = states[gaps.masked], gaps.ids[gaps.masked]
        terms = []
        for known in (level.to(hidden.device) for level in self.levels):
            place = torch.searchsorted(known, hidden).clamp(max=len(known) - 1)
            of_level = known[place] == hidden
            terms.append(-token_logp(view.backbone, states[of_level], place[of_level], known).sum())
        return torch.stack(terms).sum()

    def gaps(self, lesson: Lesson) -> Gaps:
        """Each prompt with its answer behind it, and what is masked of both."""
        prompts, answer = lesson.prompts, lesson.targets.shape[-1]
        width, device = prompts.ids.shape[1], prompts.ids.device
        rows, branches = prompts.tips.shape
        # The answer stands right behind the prompt's last token, wherever in its chain that is.
        column = torch.arange(width + answer, device=device)
        behind = column - prompts.tips[..., None] - 1
        within = (behind >= 0) & (behind < answer)
        spelled = lesson.targets.gather(-1, behind.clamp(0, answer - 1))
        ids = torch.where(within, spelled, pad(prompts.ids, (0, answer))[:, None].expand(rows, branches, -1))
        real = (column >= width - prompts.lengths[:, None, None]) & (behind < answer)
        only, level = self._only_last(ids, real, answer, lesson.epoch)
        real = real & ~(only[..., None] & (behind > level[..., None]))
        masked = torch.where(
            only[..., None], behind == level[..., None], self._drawn(ids, real, lesson.epoch)
        )
        masked = masked & prompts.mask[..., None]
        return Gaps(ids.flatten(0, 1), real.flatten(0, 1), masked.flatten(0, 1))

    def _only_last(
        self, ids: Int[Tensor, "B R L"], real: Bool[Tensor, "B R L"], answer: int, epoch: int
    ) -> tuple[Bool[Tensor, "B R"], Int[Tensor, "B R"]]:
        """Of which sequences only a token of the answer is masked, and which."""
        numbers = uniform(mixed(self._keys(ids, real, epoch)), 2)
        return numbers[..., 0] < self.config.last, below(numbers[..., 1], answer)

    def _drawn(
        self, ids: Int[Tensor, "B R L"], real: Bool[Tensor, "B R L"], epoch: int
    ) -> Bool[Tensor, "B R L"]:
        """As many of the tokens of items as the rate says, to the nearest, those with the least numbers."""
        known = torch.cat(self.levels).to(ids.device)
        items = real & torch.isin(ids, known)
        numbers = uniform(self._keys(ids, real, epoch), ids.shape[-1]).gather(-1, _positions(real))
        rank = numbers.masked_fill(~items, torch.inf).argsort(dim=-1, stable=True).argsort(dim=-1)
        share = (items.sum(-1) * self.config.rate).round().clamp_min(1)
        return items & (rank < share[..., None])

    def _keys(self, ids: Int[Tensor, "B R L"], real: Bool[Tensor, "B R L"], epoch: int) -> Int[Tensor, "B R"]:
        """A number of each sequence in this epoch, whatever pads it."""
        start = mixed(mixed(torch.tensor(self.seed, device=ids.device)) + epoch)
        return mixed(start + (mixed(ids + mixed(_positions(real))) * real).sum(-1))


def _positions(real: Bool[Tensor, "*S L"]) -> Int[Tensor, "*S L"]:
    """The place of each token in its sequence, 0 for pads."""
    return (real.cumsum(-1) - 1).clamp_min(0)
