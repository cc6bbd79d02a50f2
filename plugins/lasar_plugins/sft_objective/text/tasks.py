"""Tasks that tie semantic IDs to texts (LC-Rec, MiniOneRec).

A prompt holds no part of its answer: where the answer is a SID the prompt is text without any SID, where it
is a text the prompt holds SIDs alone. Histories are of the training part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from lasar_kit.core.item_text import item_text
from lasar_kit.core.samples import Window, prompts
from lasar_kit.core.values import Env
from lasar_kit.core.words import Ids
from lasar_plugins.sft_objective.text.config import SidTaskConfig, WrittenTaskConfig
from lasar_plugins.sft_objective.text.rows import Row, TextRows, Writer

FRAMES = {
    "text_to_sid": ("Item: ", "", "\nID of the item: "),
    "sid_to_text": ("ID of an item: ", "", "\nThe item: "),
    "history_to_title": ("IDs of a user's items in order of time: ", ", ", "\nTitle of the next item: "),
    "titles_to_sid": ("A user's items in order of time: ", "; ", "\nID of the next item: "),
    "intention_to_sid": ("A user wants: ", "", "\nID of the item: "),
    "history_to_preference": ("IDs of a user's items in order of time: ", ", ", "\nWhat the user likes: "),
}
"""Text before, between and after the content of each task's prompt."""


class SidTask(TextRows):
    """Machinery of the tasks; a subclass is one of them, over all samples that have a text."""

    frame = ""

    def __init__(self, config: SidTaskConfig, env: Env) -> None:
        super().__init__(self.frame, config.batch_size, env)
        assert env.items is not None
        assert env.train is not None
        assert env.table is not None
        self.config, self.items, self.sequences = config, env.items, env.train
        self.sids = env.table.tokens.cpu().numpy()
        self.writer = Writer(env)
        self.pieces = self.writer.tokens(FRAMES[self.frame])
        self.windows: Sequence[Window] = prompts(env.train, config.samples, env.max_history)
        self.kept = self.with_text()
        self.size = len(self.kept)

    def with_text(self) -> Sequence[int]:
        """Which items, or windows, have what the task needs."""
        raise NotImplementedError

    @cached_property
    def texts(self) -> list[Ids]:
        """Of each item."""
        return self.writer.tokens(item_text(self.items, self.config.fields))

    @cached_property
    def titles(self) -> list[Ids]:
        """Of each item."""
        return self.writer.tokens(item_text(self.items, ("title",)))

    def window(self, index: int) -> list[int]:
        """The items of a window, the next one last."""
        items: list[int] = self.windows[index].of(self.sequences).tolist()
        return items

    def cut(self, text: Ids) -> Ids:
        """A text's first tokens."""
        return text[: self.config.max_tokens]

    def ended(self, text: Ids) -> Ids:
        """A text as an answer: behind one that is not cut stands the end token."""
        if len(text) > self.config.max_tokens:
            return self.cut(text)
        return np.concatenate([text, self.writer.end])

    def framed(self, content: Sequence[Ids], answer: Ids) -> Row:
        """A prompt around its content, and the answer."""
        head, between, tail = self.pieces
        parts = [part for piece in content for part in (between, piece)][1:]
        return Row(np.concatenate([self.writer.start, head, *parts, tail, answer]), len(answer))


class TextToSid(SidTask):
    """Text of an item → its SID."""

    frame, sid = "text_to_sid", True

    def with_text(self) -> Sequence[int]:
        """Items."""
        return [item for item, text in enumerate(self.texts) if len(text)]

    def row(self, index: int) -> Row:
        """One item."""
        item = self.kept[index]
        return self.framed([self.cut(self.texts[item])], self.sids[item])


class SidToText(TextToSid):
    """SID of an item → its text."""

    frame, sid = "sid_to_text", False

    def row(self, index: int) -> Row:
        """One item."""
        item = self.kept[index]
        return self.framed([self.sids[item]], self.ended(self.texts[item]))


class HistoryToTitle(SidTask):
    """SIDs of a history → title of the next item."""

    frame = "history_to_title"

    def with_text(self) -> Sequence[int]:
        """Windows whose next item has a title."""
        return [n for n in range(len(self.windows)) if len(self.titles[self.window(n)[-1]])]

    def row(self, index: int) -> Row:
        """One window."""
        items = self.window(self.kept[index])
        return self.framed([self.sids[item] for item in items[:-1]], self.ended(self.titles[items[-1]]))


class TitlesToSid(SidTask):
    """Titles of a history → SID of the next item."""

    frame, sid = "titles_to_sid", True

    def with_text(self) -> Sequence[int]:
        """Windows of which any item has a title."""
        windows = range(len(self.windows))
        return [n for n in windows if any(len(self.titles[item]) for item in self.window(n)[:-1])]

    def row(self, index: int) -> Row:
        """One window."""
        items = self.window(self.kept[index])
        titles = [self.cut(self.titles[item]) for item in items[:-1] if len(self.titles[item])]
        return self.framed(titles, self.sids[items[-1]])


class WrittenTask(SidTask):
    """Machinery of the tasks with a teacher's texts, over the windows that it wrote about."""

    def __init__(self, config: WrittenTaskConfig, env: Env) -> None:
        assert env.written is not None
        self.about = env.written(config.teacher, config.samples, config.max_samples)
        super().__init__(config, env)

    def with_text(self) -> Sequence[int]:
        """Windows of which something was written."""
        self.windows = [window for window, _ in self.about]
        self.bodies = self.writer.tokens([text for _, text in self.about])
        return [n for n, body in enumerate(self.bodies) if len(body)]


class IntentionToSid(WrittenTask):
    """Text of what a user wants → SID of the next item (LC-Rec's item prediction by intention)."""

    frame, sid = "intention_to_sid", True

    def row(self, index: int) -> Row:
        """One text."""
        n = self.kept[index]
        return self.framed([self.cut(self.bodies[n])], self.sids[self.window(n)[-1]])


class HistoryToPreference(WrittenTask):
    """SIDs of a history → text of what its user likes (LC-Rec's preference inference)."""

    frame, sid = "history_to_preference", False

    def row(self, index: int) -> Row:
        """One window."""
        n = self.kept[index]
        return self.framed([self.sids[item] for item in self.window(n)[:-1]], self.ended(self.bodies[n]))
