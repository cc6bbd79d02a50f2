"""Histories to token ids: the one prompt builder of training, validation, evaluation and serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from lasar_kit.core.capabilities import BoundsPrompts
from lasar_kit.core.chains import start_token, starts_texts
from lasar_kit.core.interfaces import PromptTemplate
from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import SidTable
from lasar_kit.errors import UserError


class PromptBuilder:
    """Writes histories (rows of the item table) through a template, at most `max_history` items of each, and
    no more than fit into the template's `max_length` tokens; `UserError` where not one does."""

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
        bound = template.max_length if isinstance(template, BoundsPrompts) else None
        self.fit = None if bound is None else self._fit(bound)
        """Items that `max_length` leaves room for; None where there is no such bound."""
        if self.fit is not None:
            self.max_history = min(max_history, self.fit)

    def _fit(self, max_length: int) -> int:
        """How many items a prompt of so many tokens holds."""
        text, gap = len(self.head) + len(self.tail), len(self.separator)
        spelled = int(self.tokens.shape[1])
        items = (max_length - text + gap) // (spelled + gap)
        if items < 1:
            raise UserError(
                f"prompt.max_length: {max_length} tokens hold no item: the text of {self.name} takes {text}, "
                f"an item {spelled}"
            )
        return items

    def cut(self, lengths: Sequence[int] | Int[np.ndarray, " n"]) -> float:
        """The share of histories of so many items, none longer than `max_history`, that `max_length` cuts."""
        if self.fit is None or not len(lengths):
            return 0.0
        return float(np.mean(np.asarray(lengths) > self.max_history))

    def cut_line(self, lengths: Sequence[int] | Int[np.ndarray, " n"]) -> str | None:
        """A line on how many of these histories `max_length` cuts; None where none."""
        cut = self.cut(lengths)
        told = f"prompt.max_length holds {self.fit} items: {cut:.1%} of histories lose their oldest ones"
        return told if cut else None

    def extend(self, table: SidTable) -> None:
        """Let histories hold the items of a table that begins with the one that was given."""
        more = table.tokens[len(self.tokens) :].cpu().numpy()
        self.table, self.tokens = table, np.concatenate([self.tokens, more])

    def prompts(
        self, histories: Sequence[Int[np.ndarray, " H"]], users: Sequence[int] | None = None
    ) -> Prompts:
        """One prompt a row, tail included in the chain; `UserError` where that is nothing at all.

        `users` are rows of the data set, -1 for one unknown.
        """
        shown = [history[-self.max_history :] for history in histories]
        ids, lengths = self._chains(shown, self.tail)
        if not lengths.all():
            raise UserError(
                f"prompt {self.name}: nothing is left of it for a user without a history; it needs text "
                "around {history}, or a start token"
            )
        last = np.full((len(shown), 1), ids.shape[1] - 1)
        items = np.array([[len(history)] for history in shown])
        mask = np.ones_like(last, dtype=bool)
        prompts = _prompts(ids, lengths, last, mask, items, self.tail[:0], shown, users)
        return replace(prompts, whole=True)

    def answered(
        self, samples: Sequence[tuple[Int[np.ndarray, " H"], int]], users: Sequence[int] | None = None
    ) -> Lesson:
        """One prompt a row and its next item."""
        targets = self.tokens[[item for _, item in samples]][:, None]
        return Lesson(self.prompts([history for history, _ in samples], users), torch.from_numpy(targets))

    def packed(
        self,
        windows: Sequence[Int[np.ndarray, " n"]],
        transparent: bool,
        users: Sequence[int] | None = None,
    ) -> Lesson:
        """Every item of a window but the first is the answer to the items before it.

        `transparent`: nothing stands between prompt and answer; with a bare template one pass then answers
        every position inline. Otherwise each position is a branch off the pass.
        """
        inline = transparent and self.bare
        ids, lengths = self._chains([window if inline else window[:-1] for window in windows])
        answers = np.array([len(window) - 1 for window in windows])
        step, place = self.tokens.shape[1] + len(self.separator), np.arange(answers.max())
        first = len(self.head) + self.tokens.shape[1] - 1
        mask = place < answers[:, None]
        tips = np.where(mask, (ids.shape[1] - lengths + first)[:, None] + step * place, ids.shape[1] - 1)
        targets = np.zeros((*mask.shape, self.tokens.shape[1]), dtype=np.int64)
        targets[mask] = self.tokens[np.concatenate([window[1:] for window in windows])]
        items = np.tile(place + 1, (len(windows), 1))
        prompts = _prompts(ids, lengths, tips, mask, items, self.tail, windows, users)
        return Lesson(prompts, torch.from_numpy(targets), inline=inline)

    def _chains(
        self, histories: Sequence[Int[np.ndarray, " H"]], tail: Int[np.ndarray, " Q"] | None = None
    ) -> tuple[Int[np.ndarray, "B L"], Int[np.ndarray, " B"]]:
        """Head, items with separators between them, and the tail: left-padded, with their lengths."""
        behind = self.tail[:0] if tail is None else tail
        (spelled, gap), lead = (self.tokens.shape[1], len(self.separator)), len(self.head)
        counts = np.array([len(history) for history in histories])
        lengths = lead + counts * (spelled + gap) - gap * (counts > 0) + len(behind)
        width = lengths.max()
        ids = np.full((len(histories), width), self.pad, dtype=np.int64)
        row = np.repeat(np.arange(len(histories)), counts)[:, None]
        to_end = np.concatenate([np.arange(count, 0, -1) for count in counts])[:, None]
        begin = width - len(behind) + gap - to_end * (spelled + gap)
        ids[row, begin + np.arange(spelled)] = self.tokens[np.concatenate([*histories, []]).astype(np.int64)]
        later = (to_end < counts[row])[:, 0]  # all but a history's first item stand behind a separator
        ids[row[later], begin[later] - gap + np.arange(gap)] = self.separator
        ids[np.arange(len(ids))[:, None], (width - lengths)[:, None] + np.arange(lead)] = self.head
        ids[:, width - len(behind) :] = behind
        return ids, lengths


def _prompts(
    ids: Int[np.ndarray, "B L"],
    lengths: Int[np.ndarray, " B"],
    tips: Int[np.ndarray, "B R"],
    mask: Bool[np.ndarray, "B R"],
    items: Int[np.ndarray, "B R"],
    tail: Int[np.ndarray, " Q"],
    histories: Sequence[Int[np.ndarray, " H"]],
    users: Sequence[int] | None,
) -> Prompts:
    counts = np.array([len(history) for history in histories])
    history = np.full((len(counts), counts.max()), -1)
    history[np.arange(history.shape[1]) < counts[:, None]] = np.concatenate(histories)
    arrays = (ids, lengths, tips, mask, items, tail, history)
    made = Prompts(*map(torch.from_numpy, arrays))
    return made if users is None else replace(made, users=torch.tensor(users, dtype=torch.long))
