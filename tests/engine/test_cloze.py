"""Masked places against counts by hand, and their loss against one worked out place by place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import Env, SidTable
from lasar_plugins.sft_objective.cloze.config import ClozeConfig
from lasar_plugins.sft_objective.cloze.objective import Cloze

FIRST, ITEMS = 3, 6
"""The first item's token, and how many items there are; tokens before it are no items."""
TABLE = SidTable(torch.arange(FIRST, FIRST + ITEMS)[:, None])
MASK = 1


def cloze(table: SidTable = TABLE, **options: Any) -> Cloze:
    return Cloze(ClozeConfig.model_validate({"use": "cloze", **options}), Env(seed=5, table=table))


def lesson(rows: list[list[int]], pads: int = 0, epoch: int = 0) -> Lesson:
    """Prompts of items, each row's last one the answer."""
    width = max(map(len, rows)) - 1 + pads
    ids = [[0] * (width + 1 - len(row)) + [FIRST + item for item in row[:-1]] for row in rows]
    tips = torch.full((len(rows), 1), width - 1)
    lengths = torch.tensor([len(row) - 1 for row in rows])
    tail = torch.zeros(0, dtype=torch.int64)
    read = Prompts(torch.tensor(ids), lengths, tips, torch.ones_like(tips).bool(), lengths[:, None], tail)
    return Lesson(read, torch.tensor([[[FIRST + row[-1]]] for row in rows]), epoch=epoch)


@dataclass
class Sums:
    """A backbone whose state of a place is a weight of that place times the sum of all that it may read."""

    table: Tensor

    def fill(self, ids: Tensor, real: Tensor, masked: Tensor) -> Tensor:
        read = torch.where(masked, MASK, ids)
        total = (self.table[read] * real[..., None]).sum(1, keepdim=True)
        return total * torch.linspace(0.5, 1.5, ids.shape[1])[:, None]

    def logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        return states @ self.table[tokens].T


@dataclass
class View:
    lesson: Lesson
    backbone: Sums


def view(asked: Lesson) -> Any:
    generator = torch.Generator().manual_seed(2)
    return View(asked, Sums(torch.randn(FIRST + ITEMS, 4, generator=generator)))


def shown(component: Cloze, asked: Lesson) -> list[list[bool]]:
    """Of each sequence, which of its real places are masked."""
    gaps = component.gaps(asked)
    return [row[real].tolist() for row, real in zip(gaps.masked, gaps.real, strict=True)]


def test_the_loss_is_that_of_each_masked_place_among_all_items() -> None:
    component, asked = cloze(rate=0.5, last=0.3), view(lesson([[0, 1, 2, 3, 4], [5, 2, 0], [1, 1]]))
    gaps, table, expected, places = component.gaps(asked.lesson), asked.backbone.table, 0.0, 0
    for ids, real, masked in zip(gaps.ids, gaps.real, gaps.masked, strict=True):
        read = [
            MASK if hidden else int(token)
            for token, here, hidden in zip(ids, real, masked, strict=True)
            if here
        ]
        total = sum(table[token] for token in read)
        for place in masked.nonzero()[:, 0].tolist():
            scores = [float(total * (0.5 + place / (len(ids) - 1)) @ table[FIRST + i]) for i in range(ITEMS)]
            right = scores[int(ids[place]) - FIRST]
            expected += float(torch.tensor(scores).logsumexp(0)) - right
            places += 1
    assert component.count(asked.lesson, None) == places
    assert float(component.loss(asked)) == pytest.approx(expected, rel=1e-5)


def test_sequences_are_prompts_with_their_answers() -> None:
    gaps = cloze().gaps(lesson([[0, 1, 2], [5, 4]]))
    assert gaps.ids.tolist() == [[3, 4, 5], [0, 8, 7]]
    assert gaps.real.tolist() == [[True, True, True], [False, True, True]]


@pytest.mark.parametrize(
    ("rate", "length", "masked"), [(0.6, 5, 3), (0.6, 2, 1), (0.2, 2, 1), (0.2, 10, 2), (0.9, 10, 9)]
)
def test_the_rate_says_how_many_places_are_masked(rate: float, length: int, masked: int) -> None:
    """To the nearest, at least one."""
    component = cloze(rate=rate, last=0)
    for epoch in range(5):
        assert sum(shown(component, lesson([[0] * length], epoch=epoch))[0]) == masked


def samples(count: int) -> list[list[int]]:
    """As many different ones of five items."""
    return [list(row) for row in islice(product(range(ITEMS), repeat=5), count)]


def test_every_place_is_masked_as_often() -> None:
    """Two of five places of 1,000 samples: each 400 times, give or take five deviations."""
    rows = shown(cloze(rate=0.4, last=0), lesson(samples(1000)))
    counts = torch.tensor(rows).sum(0)
    assert int(counts.sum()) == 2000
    assert (counts - 400).abs().max() < 78


def test_of_some_samples_only_the_answer_is_masked() -> None:
    """Of one of four among 1,000, give or take five deviations."""
    answer = [False, False, False, False, True]
    assert shown(cloze(last=1), lesson(samples(1))) == [answer]
    assert abs(shown(cloze(last=0.25), lesson(samples(1000))).count(answer) - 250) < 69


def test_draws_are_those_of_the_sample_whatever_stands_beside_it() -> None:
    """Neither pads nor other rows change them; seed and epoch do."""
    component, rows = cloze(), [[item % ITEMS for item in range(n, n + 9)] for n in range(5)]
    whole = shown(component, lesson(rows))
    assert whole == [shown(component, lesson([row], pads=3))[0] for row in rows]
    assert whole == shown(component, lesson(rows).take([0, 1])) + shown(
        component, lesson(rows).take([2, 3, 4])
    )
    assert whole != shown(component, lesson(rows, epoch=1))
    other = Cloze(component.config, Env(seed=6, table=TABLE))
    assert whole != shown(other, lesson(rows))


def test_text_and_prompts_that_do_not_count_are_not_masked() -> None:
    component, asked = cloze(rate=0.9, last=0), lesson([[0, 1, 2], [3, 4, 5]])
    ids = asked.prompts.ids.clone()
    ids[:, 0] = 1  # a token of the text
    mask = torch.tensor([[True], [False]])
    asked = replace(asked, prompts=replace(asked.prompts, ids=ids, mask=mask))
    assert shown(component, asked) == [[False, True, True], [False, False, False]]


def test_an_item_of_two_tokens_is_answered_token_by_token() -> None:
    """Behind the first token that is masked of an answer nothing stands, as where the model ranks."""
    table = SidTable(torch.tensor([[3, 6], [4, 7]]))
    prompt = Prompts(
        ids=torch.tensor([[3, 6]]),
        lengths=torch.tensor([2]),
        tips=torch.tensor([[1]]),
        mask=torch.tensor([[True]]),
        items=torch.tensor([[1]]),
        tail=torch.zeros(0, dtype=torch.int64),
    )
    asked = Lesson(prompt, torch.tensor([[[4, 7]]]))
    component = cloze(table, last=1)
    rows = {tuple(shown(component, replace(asked, epoch=epoch))[0]) for epoch in range(20)}
    assert rows == {(False, False, True), (False, False, False, True)}
