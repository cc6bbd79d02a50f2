"""Losses with negatives against numbers worked out by hand, and draws against their chances."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.keyed import below, by_weight, uniform
from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import Env, SidTable
from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec
from lasar_kit.stages.sft.config import SftConfig
from lasar_plugins.sft_objective.sampled.config import BceConfig, SampledSoftmaxConfig
from lasar_plugins.sft_objective.sampled.objectives import Bce, SampledSoftmax, own_logits

ITEMS = 5
FIRST = 3
"""The first item's token; tokens before it are no items."""
TABLE = SidTable(torch.arange(FIRST, FIRST + ITEMS)[:, None])
TRAIN = Sequences.of([[0, 1, 1], [1, 2, 0, 1], [3, 1]])
SHARES = torch.tensor([2.0, 5.0, 1.0, 1.0, 1.0]) / 10
"""Of these sequences; the item that nobody bought counts as bought once."""


@dataclass
class Table:
    """A backbone that is its output table."""

    weight: Tensor

    def logits(self, states: Tensor, tokens: Tensor | None = None) -> Tensor:
        return states @ (self.weight if tokens is None else self.weight[tokens]).T


@dataclass
class View:
    """Three prompts in two rows, of which one does not count."""

    lesson: Lesson
    backbone: Table
    answers: Tensor


def view(*targets: int) -> Any:
    generator = torch.Generator().manual_seed(4)
    rows = len(targets)
    prompts = Prompts(
        ids=torch.randint(FIRST, FIRST + ITEMS, (rows, 4), generator=generator),
        lengths=torch.full((rows,), 4),
        tips=torch.tensor([[2, 3]] * rows),
        mask=torch.tensor([[True, row > 0] for row in range(rows)]),
        items=torch.tensor([[3, 4]] * rows),
        tail=torch.zeros(0, dtype=torch.int64),
    )
    answers = torch.randn(rows, 2, 1, 6, generator=generator)
    table = Table(torch.randn(FIRST + ITEMS, 6, generator=generator))
    wanted = torch.tensor([[[FIRST + item], [FIRST + item]] for item in targets])
    return View(Lesson(prompts, wanted), table, answers)


def counted(seen: Any) -> list[tuple[Tensor, int]]:
    """State and item of each prompt that counts."""
    mask = seen.lesson.prompts.mask
    return list(
        zip(seen.answers[mask][:, 0], (seen.lesson.targets[mask][:, 0] - FIRST).tolist(), strict=True)
    )


def softmax(**options: Any) -> SampledSoftmax:
    config = SampledSoftmaxConfig.model_validate({"use": "sampled_softmax", **options})
    return SampledSoftmax(config, Env(seed=2, table=TABLE, train=TRAIN)).eval()


def bce(**options: Any) -> Bce:
    return Bce(
        BceConfig.model_validate({"use": "bce", **options}), Env(seed=2, table=TABLE, train=TRAIN)
    ).eval()


@pytest.mark.parametrize("source", ["uniform", "popularity", "in_batch"])
@pytest.mark.parametrize("correction", ["both", "negatives", "none"])
def test_a_sampled_softmax_is_that_of_the_formula(source: str, correction: str) -> None:
    """exp(s_y - c_y) over itself and the sum of what was drawn and is not y, c the log of expected counts."""
    seen, objective = view(0, 1, 3), softmax(source=source, correction=correction, negatives=4)
    weight = seen.backbone.weight
    if source == "in_batch":
        drawn = [item for _, item in counted(seen)]
    else:
        tokens = seen.lesson.targets[seen.lesson.prompts.mask][:, 0]
        drawn = (objective._draw(tokens, 0, objective.key)[0] - FIRST).tolist()
        assert len(drawn) == 4
    chance = torch.full((ITEMS,), 1 / ITEMS) if source == "uniform" else SHARES
    expected = 0.0
    for state, item in counted(seen):
        score = [float(state @ weight[FIRST + j]) for j in range(ITEMS)]
        taken = [
            0.0 if correction == "none" else math.log(len(drawn) * float(chance[j])) for j in range(ITEMS)
        ]
        right = score[item] - (taken[item] if correction == "both" else 0)
        wrong = sum(math.exp(score[j] - taken[j]) for j in drawn if j != item)
        expected += math.log(math.exp(right) + wrong) - right
    assert float(objective.loss(seen)) == pytest.approx(expected, rel=1e-5)
    assert objective.count(seen.lesson, None) == 5


def test_corrected_negatives_stand_for_the_whole_catalogue() -> None:
    """With very many of them the loss is that of the full softmax, however they were drawn."""
    seen = view(0, 1, 3)
    full = -sum(
        float((seen.backbone.weight[FIRST:] @ state).log_softmax(0)[item]) for state, item in counted(seen)
    )
    for source in ("uniform", "popularity"):
        objective = softmax(source=source, correction="negatives", negatives=200_000)
        assert float(objective.loss(seen)) == pytest.approx(full, rel=5e-3)


@pytest.mark.parametrize(("negatives", "t"), [(1, 0.0), (3, 0.0), (3, 0.75), (2, 1.0)])
def test_binary_cross_entropy_is_that_of_the_formula(negatives: int, t: float) -> None:
    """gBCE: beta = alpha (t (1 - 1 / alpha) + 1 / alpha), alpha the share of other items that is drawn."""
    seen, objective = view(0, 1, 3), bce(negatives=negatives, calibration=t)
    found: list[list[int]] = []

    def recorded(states: Tensor, tokens: Tensor | None = None) -> Tensor:
        found.append([] if tokens is None else (tokens - FIRST).tolist())
        return states @ seen.backbone.weight[tokens].T

    seen.backbone.logits = recorded
    loss = float(objective.loss(seen))
    [flat] = found
    alpha = negatives / (ITEMS - 1)
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    expected = 0.0
    for place, (state, item) in enumerate(counted(seen)):
        own, *others = flat[place * (negatives + 1) : (place + 1) * (negatives + 1)]
        assert own == item
        assert item not in others
        score = seen.backbone.weight[FIRST:] @ state
        expected -= beta * math.log(float(score[item].sigmoid()))
        expected -= sum(math.log(1 - float(score[j].sigmoid())) for j in others)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_logits_of_ones_own_tokens_are_those_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    states, table = torch.randn(700, 6, generator=generator), Table(torch.randn(40, 6, generator=generator))
    tokens = torch.randint(0, 40, (700, 3), generator=generator)
    found = own_logits(table, states, tokens)  # type: ignore[arg-type]
    torch.testing.assert_close(found, table.logits(states).gather(1, tokens))


def test_what_is_drawn_follows_its_chances() -> None:
    numbers = uniform(torch.tensor(7), 100_000)
    assert 0 <= float(numbers.min()) < float(numbers.max()) < 1
    counts = torch.bincount(below(numbers, 5), minlength=5) / len(numbers)
    assert (counts - 0.2).abs().max() < 0.005
    counts = torch.bincount(by_weight(numbers, SHARES), minlength=5) / len(numbers)
    assert (counts - SHARES).abs().max() < 0.005
    lagged = torch.corrcoef(torch.stack([numbers[1:], numbers[:-1]]))[0, 1]
    assert abs(float(lagged)) < 0.01
    keys = uniform(torch.arange(100_000), 1)[:, 0]
    assert abs(float(torch.corrcoef(torch.stack([keys[1:], keys[:-1]]))[0, 1])) < 0.01


@pytest.mark.parametrize("make", [softmax, bce])
def test_training_draws_anew_with_every_pass_and_goes_on_from_what_was_saved(make: Any) -> None:
    seen, objective, other = view(0, 1, 3, 4, 2, 2), make(negatives=2), make(negatives=2)
    assert float(objective.loss(seen)) == float(objective.loss(seen))
    objective.train()
    losses = [float(objective.loss(seen)) for _ in range(6)]
    assert len(set(losses)) > 1
    other.load_state_dict(objective.state_dict())
    assert float(other.train().loss(seen)) == float(objective.loss(seen))


def test_a_level_of_one_token_has_nothing_to_learn() -> None:
    seen = view(0)
    env = Env(seed=2, table=SidTable(torch.tensor([[FIRST], [FIRST]])))
    lesson = replace(seen.lesson, targets=torch.full((1, 2, 1), FIRST))
    objective = Bce(BceConfig(use="bce"), env)
    assert float(objective.loss(View(lesson, seen.backbone, seen.answers))) == 0  # type: ignore[arg-type]


SPEC = """\
backbone: sasrec
prompt: sid_only
stages:
  tokenize: {use: tokenize, quantizer: item_id}
  train: {use: sft, objectives: [{objective: bce}]}
"""


def test_they_take_the_place_of_the_answers_term(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    config = load_spec(tmp_path / "spec.yaml", (), catalogue).spec.stages["train"]
    assert isinstance(config, SftConfig)
    assert [term.name for term in config.terms] == ["align", "policy", "bce"]
    more = ("stages.train.objectives=[{objective: bce}, {objective: answer, weight: 0.5}]",)
    config = load_spec(tmp_path / "spec.yaml", more, catalogue).spec.stages["train"]
    assert isinstance(config, SftConfig)
    assert [term.name for term in config.terms] == ["align", "policy", "bce", "ce"]
    with pytest.raises(UserError, match="unknown"):
        load_spec(
            tmp_path / "spec.yaml", ("stages.train.objectives=[{objective: {use: bce, n: 1}}]",), catalogue
        )
