"""A gate before another reward: a text must have the right form."""

from __future__ import annotations

import re

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.interfaces import Reward
from lasar_kit.core.lesson import moved
from lasar_kit.core.values import Env, Judged
from lasar_kit.core.vocabulary import END_THINK
from lasar_kit.errors import UserError
from lasar_plugins.reward.standard.config import FormatGateConfig


class FormatGate:
    """The reward of candidates whose text was ended by the model itself and holds what it must; 0 for others.

    A SID is always one of the catalogue, since the decoder spells no other. Where nothing was written there
    is no form to keep, and the gate is open.
    """

    def __init__(self, config: FormatGateConfig, env: Env) -> None:
        if env.tokenizer is None:
            raise UserError("reward format_gate: needs the tokenizer of the backbone (Env.tokenizer)")
        assert env.build is not None
        self.inner: Reward = env.build("reward", config.reward, env)
        self.tokenizer = env.tokenizer
        self.end: int = env.tokenizer.convert_tokens_to_ids(END_THINK)
        self.pattern = None if config.pattern is None else re.compile(config.pattern)

    def reward(self, judged: Judged) -> Float[Tensor, "B G"]:
        """A shared text opens or shuts the gate for the whole group."""
        earned = self.inner.reward(judged)
        return earned if judged.written is None else earned * self.well_formed(judged.written)

    def well_formed(self, written: Int[Tensor, "B X W"]) -> Bool[Tensor, "B X"]:
        """Whether each text has the form, an empty one too."""
        empty = ~(written >= 0).any(-1)
        ended = (written == self.end).any(-1)
        if self.pattern is None:
            return ended | empty
        ids = [
            [token for token in row if token not in (-1, self.end)] for row in written.flatten(0, 1).tolist()
        ]
        found = [self.pattern.search(self.tokenizer.decode(row)) is not None for row in ids]
        holds = moved(torch.tensor(found).view(written.shape[:2]), written.device)
        return (ended & holds) | empty
