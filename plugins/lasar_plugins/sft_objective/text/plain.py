"""Language modelling on texts as they are: of items, and of a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lasar_kit.core.item_text import item_text
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.text.config import ItemTextConfig, ReasoningTextConfig
from lasar_plugins.sft_objective.text.rows import Row, TextRows, Writer


class _Plain(TextRows):
    """Texts behind the start token."""

    def _take(self, texts: Sequence[str], max_tokens: int, env: Env) -> None:
        writer = Writer(env)
        rows = [row for row in writer.tokens(texts) if len(row)]
        self.rows = [np.concatenate([writer.start, row])[:max_tokens] for row in rows]
        self.size = len(self.rows)

    def row(self, index: int) -> Row:
        """A text, all of it the answer."""
        return Row(self.rows[index], len(self.rows[index]) - 1)


class ItemText(_Plain):
    """The texts of the catalogue's items."""

    def __init__(self, config: ItemTextConfig, env: Env) -> None:
        super().__init__("text", config.batch_size, env)
        assert env.items is not None
        self._take(item_text(env.items, config.fields), config.max_tokens, env)


class ReasoningText(_Plain):
    """A teacher's texts about training prompts, in the prompts' order."""

    def __init__(self, config: ReasoningTextConfig, env: Env) -> None:
        super().__init__("reasoning_text", config.batch_size, env)
        assert env.written is not None
        written = env.written(config.teacher, config.samples, config.max_samples)
        self._take([text for _, text in written], config.max_tokens, env)
