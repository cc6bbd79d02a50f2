"""Histories to token ids: the one prompt builder of training, validation, evaluation and serving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from lasar_kit.core.chains import left_padded, start_token, starts_texts
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
        rows = [
            np.concatenate([self._chain(history[-self.max_history :]), self.tail]) for history in histories
        ]
        if not all(map(len, rows)):
            raise UserError(
                f"prompt {self.name}: nothing is left of it for a user without a history; it needs text "
                "around {history}, or a start token"
            )
        last = np.full((len(rows), 1), max(map(len, rows)) - 1)
        shown = np.minimum([[len(history)] for history in histories], self.max_history)
        kept = [history[-self.max_history :] for history in histories]
        return self._prompts(rows, last, np.ones_like(last, dtype=bool), shown, self.tail[:0], kept)

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
        rows = [self._chain(window if inline else window[:-1]) for window in windows]
        width, step = max(map(len, rows)), self.tokens.shape[1] + len(self.separator)
        count = max(map(len, windows)) - 1
        first = len(self.head) + self.tokens.shape[1] - 1
        tips = np.full((len(rows), count), width - 1)
        mask = np.zeros((len(rows), count), dtype=bool)
        targets = np.zeros((len(rows), count, self.tokens.shape[1]), dtype=np.int64)
        for row, (chain, window) in enumerate(zip(rows, windows, strict=True)):
            answers = len(window) - 1
            tips[row, :answers] = width - len(chain) + first + step * np.arange(answers)
            mask[row, :answers] = True
            targets[row, :answers] = self.tokens[window[1:]]
        shown = np.tile(np.arange(1, count + 1), (len(rows), 1))
        prompts = self._prompts(rows, tips, mask, shown, self.tail, windows)
        return Lesson(prompts, torch.from_numpy(targets), inline=inline)

    def _chain(self, history: Int[np.ndarray, " H"]) -> Int[np.ndarray, " L"]:
        """Head and items, without the tail."""
        if len(history) == 0:
            return self.head
        items = self.tokens[history]
        between = np.tile(self.separator, (len(items) - 1, 1))
        joined = np.concatenate([items[:-1], between], axis=1).ravel()
        return np.concatenate([self.head, joined, items[-1]])

    def _prompts(
        self,
        rows: list[Int[np.ndarray, " L"]],
        tips: Int[np.ndarray, "B R"],
        mask: Bool[np.ndarray, "B R"],
        items: Int[np.ndarray, "B R"],
        tail: Int[np.ndarray, " Q"],
        histories: Sequence[Int[np.ndarray, " H"]],
    ) -> Prompts:
        ids, lengths = left_padded(rows, self.pad)
        history = np.full((len(rows), max(map(len, histories))), -1)
        for row, shown in zip(history, histories, strict=True):
            row[: len(shown)] = shown
        tensors = (torch.from_numpy(array) for array in (tips, mask, items, tail, history))
        return Prompts(ids, lengths, *tensors)
