"""Log-probabilities of whole answers against torch's log-softmax, token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.core import token_logp
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


class Head(torch.nn.Module):
    """Logits by a table of nine tokens, each state's largest number of them noted."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(9, 3, generator=torch.Generator().manual_seed(4)))
        self.calls: list[int] = []
        self.tokenizer = range(9)

    def logits(self, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
        found = hidden @ (self.weight if tokens is None else self.weight[tokens]).T
        self.calls.append(found.numel())
        return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("heated", [False, True])
@pytest.mark.parametrize(
    ("score", "levels", "most"), [("trie", 2, 4), ("trie", 1, 3), ("vocabulary", 2, 9), ("vocabulary", 1, 9)]
)
def test_parts_have_the_loss_and_gradients_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
    heated: bool,
    dtype: torch.dtype,
    score: Score,
    levels: int,
    most: int,
) -> None:
    """With room for two rows of `most` logits; what is kept for the backward pass then is far below all.

    The levels have three and four tokens. Under bf16 the table is cast, which must not cut its gradient off.
    """
    table = torch.tensor(TABLE)[:, :levels]
    items = table.repeat(3, 1)
    first = torch.randn(18, levels, 3, generator=torch.Generator().manual_seed(5))
    heats = torch.linspace(0.5, 2, 18) if heated else None

    def scored(cells: int) -> tuple[Tensor, Tensor, Tensor, int, int]:
        monkeypatch.setattr(token_logp, "CELLS", cells)
        monkeypatch.setattr(token_logp, "PART", cells)
        head, states, kept = Head(), first.clone().requires_grad_(), [0]

        def pack(tensor: Tensor) -> Tensor:
            kept.append(tensor.numel() * tensor.is_floating_point())
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
            logp = AnswerScorer(SidTable(table), score, "cpu").logp(head, states, items, heats)
        (logp * torch.linspace(-1, 1, items.numel()).view(18, -1)).sum().backward()
        assert states.grad is not None
        assert head.weight.grad is not None
        return logp.detach(), states.grad, head.weight.grad, max(head.calls), sum(kept)

    *whole, at_once, kept = scored(10**9)
    *parts, in_part, kept_of_parts = scored(2 * most)
    for one, other in zip(whole, parts, strict=True):
        loose = {"rtol": 0.05, "atol": 0.02} if dtype is torch.bfloat16 else {}
        torch.testing.assert_close(one, other, **loose)
    assert in_part <= 2 * most < at_once
    assert kept_of_parts <= first.numel() + items.numel() < kept


def test_an_item_with_more_logits_than_there_is_room_for_is_scored_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_logp, "CELLS", 1)
    monkeypatch.setattr(token_logp, "PART", 1)
    head, states = Head(), torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        AnswerScorer(SidTable(torch.tensor(TABLE)), "trie", "cpu").logp(head, states, torch.tensor(TABLE))
    assert max(head.calls) == 4  # tokens of the second level
