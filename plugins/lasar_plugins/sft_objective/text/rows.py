"""Texts as token rows, and the loss of such rows."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lasar_kit.core.chains import left_padded, start_token
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.token_logp import token_logp
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env
from lasar_kit.core.words import Ids, Words


@dataclass(frozen=True)
class Row:
    """A prompt and its answer in one chain: the last `answer` tokens."""

    ids: Ids
    answer: int


class Writer(Words):
    """Texts as token rows, with what stands before and behind them."""

    def __init__(self, env: Env) -> None:
        super().__init__(env.tokenizer, env.vocabulary)
        self.start = np.array([start_token(env.tokenizer)])
        eos = env.tokenizer.eos_token_id
        self.end = np.array([] if eos is None else [eos], dtype=np.int64)


class TextRows:
    """The mean over the answer tokens of an update's samples, drawn with replacement.

    Subclasses say how many samples there are (`size`) and make each (`row`). Draws hang on the seed, `name`
    and the update alone, so they are the same however many processes there are.
    """

    needs: tuple[str, ...] = ()
    size: int
    sid = False

    def __init__(self, name: str, batch_size: int, env: Env) -> None:
        self.key, self.batch_size = (env.seed, zlib.crc32(name.encode())), batch_size

    def row(self, index: int) -> Row:
        """One sample."""
        raise NotImplementedError

    def draw(self, update: int) -> list[Row]:
        """The samples of one update of all processes together."""
        rng = np.random.default_rng((*self.key, update))
        return [self.row(index) for index in rng.integers(self.size, size=self.batch_size).tolist()]

    def collate(self, samples: Sequence[Row]) -> TaskRows:
        """Some samples as a batch; of none, one that asks for nothing."""
        ids, _ = left_padded([row.ids for row in samples] or [self.row(0).ids], -1)
        return TaskRows(ids, torch.tensor([row.answer for row in samples] or [0]), self.sid)

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Answer tokens."""
        assert rows is not None
        return int(rows.answers.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Their negative log-likelihoods: of SIDs by the stage's score, of words over the vocabulary."""
        backbone, rows = view.backbone, view.rows
        real = rows.ids >= 0
        states, _ = backbone.advance(backbone.embed(rows.ids.clamp_min(0)), chain_parents(real), None)
        if rows.sid:
            levels = view.lesson.targets.shape[-1]
            logp = view.token_logp(states[:, -levels - 1 : -1], rows.ids[:, -levels:])
            return -logp[rows.answers > 0].sum()
        width = rows.ids.shape[1]
        asked = torch.arange(1, width, device=real.device) >= width - rows.answers[:, None]
        return -token_logp(backbone, states[:, :-1][asked], rows.ids[:, 1:][asked]).sum()
