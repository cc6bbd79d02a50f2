"""Tasks with texts beside next items: SIDs told by texts and texts by SIDs (LC-Rec, MiniOneRec), and plain
language modelling.

A prompt holds no part of its answer: where the answer is a SID the prompt is text without any SID, where it
is a text the prompt holds SIDs alone. Histories are of the training part.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.core.item_text import item_text
from lasar_kit.data.samples import Window
from lasar_kit.model.prompts import TaskRows
from lasar_kit.stages.sft.text_config import ReasoningTextConfig, TasksConfig, TextConfig, TextTaskName

Ids = Int[np.ndarray, " L"]

FRAMES: dict[TextTaskName, tuple[str, str, str]] = {
    "text_to_sid": ("Item: ", "", "\nID of the item: "),
    "sid_to_text": ("ID of an item: ", "", "\nThe item: "),
    "history_to_title": ("IDs of a user's items in order of time: ", ", ", "\nTitle of the next item: "),
    "titles_to_sid": ("A user's items in order of time: ", "; ", "\nID of the next item: "),
}
"""What stands before, between and after the content of each task's prompt."""


@dataclass(frozen=True)
class Row:
    """A prompt and its answer in one chain: the last `answer` tokens."""

    ids: Ids
    answer: int


@dataclass(frozen=True)
class TextTask:
    """`size` samples, of which each update draws `batch_size`, the same however many processes there are."""

    name: str
    weight: float
    size: int
    batch_size: int
    row: Callable[[int], Row]
    sid: bool = False

    def draw(self, seed: int, update: int) -> list[Row]:
        """The samples of one update of all processes together."""
        rng = np.random.default_rng((seed, zlib.crc32(self.name.encode()), update))
        return [self.row(index) for index in rng.integers(self.size, size=self.batch_size).tolist()]

    def rows(self, share: Sequence[Row]) -> TaskRows:
        """Some samples as a batch; without any, one that asks for nothing, so that all processes make as many
        passes."""
        padded = [row.ids for row in share] or [self.row(0).ids]
        ids = np.full((len(padded), max(map(len, padded))), -1, dtype=np.int64)
        for place, row in enumerate(padded):
            ids[place, ids.shape[1] - len(row) :] = row
        answers = [row.answer for row in share] or [0]
        return TaskRows(torch.from_numpy(ids), torch.tensor(answers), self.sid)


class Writer:
    """Texts as token rows.

    Tokens that mean something to the model (SIDs, latent and special ones) are taken out of them: what a shop
    writes must not be able to spell an answer.
    """

    def __init__(self, tokenizer: Any, vocabulary: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        meant = [*tokenizer.convert_tokens_to_ids(list(vocabulary)), *tokenizer.all_special_ids]
        self.meant = np.array(meant, dtype=np.int64)
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.start = np.array([eos if bos is None else bos])
        self.end = np.array([] if eos is None else [eos], dtype=np.int64)

    def tokens(self, texts: Sequence[str]) -> list[Ids]:
        """Tokens of each text; none of the empty one."""
        rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        found = [np.array(row, dtype=np.int64) for row in rows]
        return [row[~np.isin(row, self.meant)] for row in found]

    def plain(self, name: str, config: TextConfig | ReasoningTextConfig, texts: Sequence[str]) -> TextTask:
        """Language modelling on texts as they are, behind the start token."""
        found = [row for row in self.tokens(texts) if len(row)]
        rows = [np.concatenate([self.start, row])[: config.max_tokens] for row in found]
        return TextTask(
            name, config.weight, len(rows), config.batch_size, lambda n: Row(rows[n], len(rows[n]) - 1)
        )


class SidTasks:
    """The tasks that tie items' SIDs to their texts.

    `prompts` makes prompts of the training part, windows with the next item last; `sids[i]` are the tokens of
    item i's SID.
    """

    def __init__(
        self,
        dataset: Dataset,
        prompts: Callable[[Sequences], Sequence[Window]],
        sids: Int[np.ndarray, "I M"],
        writer: Writer,
        config: TasksConfig,
    ) -> None:
        self.sequences, self.sids, self.writer, self.config = dataset.train, sids, writer, config
        self.items, self.windows = dataset.items, prompts(dataset.train)
        self.frames = {name: writer.tokens(frame) for name, frame in FRAMES.items()}

    @cached_property
    def texts(self) -> list[Ids]:
        """Of each item."""
        return self.writer.tokens(item_text(self.items, self.config.fields))

    @cached_property
    def titles(self) -> list[Ids]:
        """Of each item."""
        return self.writer.tokens(item_text(self.items, ("title",)))

    def task(self, name: TextTaskName) -> TextTask:
        """A task over all samples that have a text; its `size` may be 0."""
        if name in ("text_to_sid", "sid_to_text"):
            items = [item for item, text in enumerate(self.texts) if len(text)]
            make = self._text_to_sid if name == "text_to_sid" else self._sid_to_text
            return self._task(name, len(items), lambda n: make(items[n]))
        if name == "history_to_title":
            kept = [w for w in self.windows if len(self.titles[self._window(w)[-1]])]
            return self._task(name, len(kept), lambda n: self._history_to_title(self._window(kept[n])))
        kept = [w for w in self.windows if any(len(self.titles[item]) for item in self._window(w)[:-1])]
        return self._task(name, len(kept), lambda n: self._titles_to_sid(self._window(kept[n])))

    def _task(self, name: TextTaskName, size: int, row: Callable[[int], Row]) -> TextTask:
        weight = self.config.texts[name]
        return TextTask(name, weight, size, self.config.batch_size, row, sid=name.endswith("to_sid"))

    def _window(self, window: Window) -> list[int]:
        items: list[int] = self.sequences[window.user][window.start : window.stop].tolist()
        return items

    def _text_to_sid(self, item: int) -> Row:
        return self._row("text_to_sid", [self._cut(self.texts[item])], self.sids[item])

    def _sid_to_text(self, item: int) -> Row:
        return self._row("sid_to_text", [self.sids[item]], self._ended(self.texts[item]))

    def _history_to_title(self, items: Sequence[int]) -> Row:
        history = [self.sids[item] for item in items[:-1]]
        return self._row("history_to_title", history, self._ended(self.titles[items[-1]]))

    def _titles_to_sid(self, items: Sequence[int]) -> Row:
        titles = [self._cut(self.titles[item]) for item in items[:-1] if len(self.titles[item])]
        return self._row("titles_to_sid", titles, self.sids[items[-1]])

    def _cut(self, text: Ids) -> Ids:
        return text[: self.config.max_tokens]

    def _ended(self, text: Ids) -> Ids:
        """A text as an answer: behind one that is not cut stands the end token."""
        if len(text) > self.config.max_tokens:
            return self._cut(text)
        return np.concatenate([text, self.writer.end])

    def _row(self, name: TextTaskName, content: Sequence[Ids], answer: Ids) -> Row:
        head, between, tail = self.frames[name]
        parts = [part for piece in content for part in (between, piece)][1:]
        return Row(np.concatenate([self.writer.start, head, *parts, tail, answer]), len(answer))
