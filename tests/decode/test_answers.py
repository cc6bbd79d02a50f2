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


@pytest.mark.parametrize("score", ["vocabulary", "trie"])
def test_first_tokens_alone_at_a_temperature_of_their_own(
    path_model: Callable[[int], Any], score: Score
) -> None:
    """Three items' first tokens, logits divided by 1, 2 and 0.5."""
    model, items = path_model(9), TABLE[:3]
    states = torch.randn(3, 1, 1, generator=torch.Generator().manual_seed(2))
    temperature = torch.tensor([1.0, 2.0, 0.5])
    scorer = AnswerScorer(SidTable(torch.tensor(TABLE)), score, "cpu")
    got = scorer.logp(model, states, torch.tensor(items)[:, :1], temperature)
    among = list(range(9)) if score == "vocabulary" else [0, 3, 6]
    logits = model.logits(states)[:, 0][:, among]
    for item, ((token, _), heat) in enumerate(zip(items, (1.0, 2.0, 0.5), strict=True)):
        expected = (logits[item] / heat).log_softmax(-1)[among.index(token)]
        torch.testing.assert_close(got[item, 0], expected)


def test_a_temperature_that_is_learned_has_a_finite_gradient(path_model: Callable[[int], Any]) -> None:
    """Also where the trie forbids most tokens of a level."""
    temperature = torch.ones(6, requires_grad=True)
    states = torch.randn(6, 2, 1, generator=torch.Generator().manual_seed(1))
    scorer = AnswerScorer(SidTable(torch.tensor(TABLE)), "trie", "cpu")
    scorer.logp(path_model(9), states, torch.tensor(TABLE), temperature).sum().backward()
    assert temperature.grad is not None
    assert temperature.grad.isfinite().all()
