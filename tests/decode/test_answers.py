"""Log-probabilities of whole answers against torch's log-softmax, token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lasar_kit.core.scoring import Score
from lasar_kit.core.values import SidTable
from lasar_kit.model.answers import AnswerScorer

TABLE = [[6, 2], [0, 2], [0, 5], [6, 1], [0, 1], [3, 4]]


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("score", ["vocabulary", "trie"])
def test_answer_is_scored_token_by_token(path_model: Callable[[int], Any], score: Score, levels: int) -> None:
    model, table = path_model(9), [row[:levels] for row in TABLE]
    states = torch.randn(len(table), levels, 1, generator=torch.Generator().manual_seed(1))
    got = AnswerScorer(SidTable(torch.tensor(table)), score, "cpu").logp(model, states, torch.tensor(table))
    logits = model.logits(states)
    for item, answer in enumerate(table):
        for level, token in enumerate(answer):
            follow = sorted({row[level] for row in table if row[:level] == answer[:level]})
            among = list(range(9)) if score == "vocabulary" else follow
            expected = logits[item, level, among].log_softmax(-1)[among.index(token)]
            torch.testing.assert_close(got[item, level], expected)
