"""Histories to token ids: the one prompt builder of training, validation, evaluation and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lasar_kit.core.interfaces import PromptTemplate
from lasar_kit.core.values import Anchors, SidTable
from lasar_kit.errors import UserError


@dataclass(frozen=True)
class TaskRows:
    """Rows of one task: prompt and answer in one chain.

    `ids` are left-padded with -1; the last `answers[t]` tokens of row t are its answer, none in a row that
    fills a gap. `sid` says that answers are SIDs.
    """

    ids: Int[Tensor, "T L"]
    answers: Int[Tensor, " T"]
    sid: bool

    def to(self, device: torch.device | str) -> TaskRows:
        """The same on a device."""
        return TaskRows(self.ids.to(device), self.answers.to(device), self.sid)


@dataclass(frozen=True)
class PromptBatch:
    """R prompts a row that share one left-padded chain of tokens.

    Row b's chain is the last `lengths[b]` columns of `ids`; its prompt r ends at column `tips[b, r]`, or,
    where `tail` is not empty, with the tail's tokens on a branch from there. `mask` marks prompts that
    count. In training, `targets` are the answers, and `inline` says that they stand in the chain itself,
    right behind their prompts. `anchors` are the states of written reasoning for each prompt, `depth` how
    long to think about it and `label` what the depth policy is to learn, both 0 where there is no reasoning;
    without any `depth` the policy chooses. `tasks` are the rows of the tasks with texts, by name.
    """

    ids: Int[Tensor, "B L"]
    lengths: Int[Tensor, " B"]
    tips: Int[Tensor, "B R"]
    mask: Bool[Tensor, "B R"]
    tail: Int[Tensor, " Q"]
    targets: Int[Tensor, "B R M"] | None = None
    inline: bool = False
    anchors: Anchors | None = None
    depth: Int[Tensor, "B R"] | None = None
    label: Int[Tensor, "B R"] | None = None
    tasks: Mapping[str, TaskRows] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> PromptBatch:
        """The same on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        if self.anchors is not None:
            moved["anchors"] = Anchors(self.anchors.states.to(device), self.anchors.mask.to(device))
        moved["tasks"] = {name: rows.to(device) for name, rows in self.tasks.items()}
        return replace(self, **moved)

    def rows(self, which: Sequence[int]) -> PromptBatch:
        """Some rows of it, without tasks."""
        shared = {"tail", "inline", "tasks", "anchors"}
        taken: dict[str, Any] = {
            name: value[list(which)]
            for name, value in vars(self).items()
            if name not in shared and value is not None
        }
        if self.anchors is not None:
            taken["anchors"] = Anchors(self.anchors.states[list(which)], self.anchors.mask[list(which)])
        return replace(self, tasks={}, **taken)


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
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        self.head, self.separator, self.tail = (
            np.array(tokenizer(text, add_special_tokens=False)["input_ids"] if text else [], dtype=np.int64)
            for text in (template.head, template.separator, template.tail)
        )
        if template.start_token:
            self.head = np.concatenate([[start], self.head])
        self.pad = tokenizer.pad_token_id
        self.bare = len(self.separator) == len(self.tail) == 0

    def prompts(self, histories: Sequence[Int[np.ndarray, " H"]]) -> PromptBatch:
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
        return self._batch(rows, last, np.ones_like(last, dtype=bool), tail=self.tail[:0])

    def answered(self, samples: Sequence[tuple[Int[np.ndarray, " H"], int]]) -> PromptBatch:
        """One prompt a row and its next item."""
        batch = self.prompts([history for history, _ in samples])
        targets = self.tokens[[item for _, item in samples]][:, None]
        return replace(batch, targets=torch.from_numpy(targets))

    def packed(self, windows: Sequence[Int[np.ndarray, " n"]], transparent: bool) -> PromptBatch:
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
        batch = self._batch(rows, tips, mask, tail=self.tail)
        return replace(batch, targets=torch.from_numpy(targets), inline=inline)

    def _chain(self, history: Int[np.ndarray, " H"]) -> Int[np.ndarray, " L"]:
        """Head and items, without the tail."""
        if len(history) == 0:
            return self.head
        items = self.tokens[history]
        between = np.tile(self.separator, (len(items) - 1, 1))
        joined = np.concatenate([items[:-1], between], axis=1).ravel()
        return np.concatenate([self.head, joined, items[-1]])

    def _batch(
        self, rows: list[np.ndarray], tips: np.ndarray, mask: np.ndarray, tail: np.ndarray
    ) -> PromptBatch:
        width = max(map(len, rows))
        ids = np.full((len(rows), width), self.pad, dtype=np.int64)
        for row, chain in enumerate(rows):
            ids[row, width - len(chain) :] = chain
        lengths = torch.tensor([len(chain) for chain in rows])
        return PromptBatch(
            torch.from_numpy(ids),
            lengths,
            torch.from_numpy(tips),
            torch.from_numpy(mask),
            torch.from_numpy(tail),
        )
