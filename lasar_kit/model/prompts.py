"""Histories to token ids: the one prompt builder of training, validation, evaluation and serving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from lasar_kit.core.chains import start_token, starts_texts
from lasar_kit.core.interfaces import PromptTemplate
from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import SidTable
from lasar_kit.errors import UserError


class PromptBuilder:
    """Writes histories (rows of the item table) through a template, at most `max_history` items of each."""

    def __init__(
        self,
        template: PromptTemplate,
        tokenizer: Any,
        table: SidTable,
        max_history: int,
        name: str = "this one",
    ) -> None:
        self.table, self.max_history, self.name = table, max_history, name
        self.tokens = table.tokens.cpu().numpy()
        self.head, self.separator, self.tail = (
            np.array(tokenizer(text, add_special_tokens=False)["input_ids"] if text else [], dtype=np.int64)
            for text in (template.head, template.separator, template.tail)
        )
        if template.start_token or starts_texts(tokenizer):
            self.head = np.concatenate([[start_token(tokenizer, f"prompt {name}")], self.head])
        self.pad = tokenizer.pad_token_id
        self.bare = len(self.separator) == len(self.tail) == 0

    def prompts(self, histories: Sequence[Int[np.ndarray, " H"]]) -> Prompts:
        """One prompt a row, tail included in the chain; `UserError` where that is nothing at all."""
        histories = [history[-self.max_history :] for history in histories]
        ids, lengths = self._chains(histories, self.tail)
        if not lengths.all():
            raise UserError(
                f"prompt {self.name}: nothing is left of it for a user without a history; it needs text "
                "around {history}, or a start token"
            )
        last = np.full((len(histories), 1), ids.shape[1] - 1)
        shown = np.array([[len(history)] for history in histories])
        return self._prompts(ids, lengths, last, np.ones_like(last, dtype=bool), shown, tail=self.tail[:0])

    def answered(self, samples: Sequence[tuple[Int[np.ndarray, " H"], int]]) -> Lesson:
        """One prompt a row and its next item."""
        targets = self.tokens[[item for _, item in samples]][:, None]
        return Lesson(self.prompts([history for history, _ in samples]), torch.from_numpy(targets))

    def packed(self, windows: Sequence[Int[np.ndarray, " n"]], transparent: bool) -> Lesson:
        """Every item of a window but the first is the answer to the items before it.

        `transparent`: nothing stands between prompt and answer; with a bare template one pass then answers
        every position inline. Otherwise each position is a branch off the pass.
        """
        inline = transparent and self.bare
        ids, lengths = self._chains(windows if inline else [window[:-1] for window in windows], self.tail[:0])
        step, width = self.tokens.shape[1] + len(self.separator), ids.shape[1]
        answers = np.array([len(window) - 1 for window in windows])
        place = np.arange(answers.max())
        mask = place < answers[:, None]
        first = len(self.head) + self.tokens.shape[1] - 1
        tips = np.where(mask, (width - lengths + first)[:, None] + step * place, width - 1)
        targets = np.zeros((*mask.shape, self.tokens.shape[1]), dtype=np.int64)
        targets[mask] = self.tokens[np.concatenate([window[1:] for window in windows])]
        shown = np.tile(place + 1, (len(windows), 1))
        prompts = self._prompts(ids, lengths, tips, mask, shown, tail=self.tail)
        return Lesson(prompts, torch.from_numpy(targets), inline=inline)

    def _chains(
        self, histories: Sequence[Int[np.ndarray, " H"]], tail: Int[np.ndarray, " Q"]
    ) -> tuple[Int[np.ndarray, "B L"], Int[np.ndarray, " B"]]:
        """Head, items and `tail` of each history at the right edge, behind pads; and how long they are."""
        levels, between = self.tokens.shape[1], len(self.separator)
        counts = np.array([len(history) for history in histories])
        lengths = len(self.head) + counts * (levels + between) - between * (counts > 0) + len(tail)
        width = int(lengths.max())
        ids = np.full((len(histories), width), self.pad, dtype=np.int64)
        begin = (width - lengths)[:, None]
        np.put_along_axis(ids, begin + np.arange(len(self.head)), self.head[None], axis=1)
        ids[:, width - len(tail) :] = tail
        row = np.repeat(np.arange(len(histories)), counts)
        place = np.arange(len(row)) - np.repeat(counts.cumsum() - counts, counts)
        column = (begin[row, 0] + len(self.head) + place * (levels + between))[:, None]
        ids[row[:, None], column + np.arange(levels)] = self.tokens[np.concatenate(histories)]
        followed = place + 1 < counts[row]
        ids[row[followed, None], column[followed] + levels + np.arange(between)] = self.separator
        return ids, lengths

    def _prompts(
        self,
        ids: Int[np.ndarray, "B L"],
        lengths: Int[np.ndarray, " B"],
        tips: Int[np.ndarray, "B R"],
        mask: Bool[np.ndarray, "B R"],
        items: Int[np.ndarray, "B R"],
        tail: Int[np.ndarray, " Q"],
    ) -> Prompts:
        return Prompts(*(torch.from_numpy(array) for array in (ids, lengths, tips, mask, items, tail)))
