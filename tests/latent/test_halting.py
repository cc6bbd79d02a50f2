"""Halting where thoughts change nothing any more, against the rule written out branch by branch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Context, Prompt
from lasar_kit.testing import tiny
from lasar_kit.testing.strategies import Thinking
from lasar_kit.testing.thinking import Outcome, read_prompts, think

CATALOGUE = Catalogue.discover()
PROMPTS = [[3, 5, 4], [7, 7], [12], [9, 4, 10, 3], [6]]
CASE = Thinking(PROMPTS, [[len(row) - 1] for row in PROMPTS], [[6], [6], [2], [0], [6]], [[4]] * 5)


def halting(loop: Any = "rearec", **options: Any) -> Any:
    config = CATALOGUE.config_class("latent_loop", "halting").model_validate(
        {"use": "halting", "loop": loop, **options}, context={"catalogue": CATALOGUE}
    )
    env = replace(tiny.environment(), seed=2, build=CATALOGUE.build)
    return CATALOGUE.build("latent_loop", config, env).eval()


def expected_depths(loop: Any, least: int, threshold: float, heat: float = 1.0) -> list[int]:
    """From all thoughts of the loop that never stops: the first t from `least` at which KL is small."""
    backbone = tiny.backbone()
    whole = think(backbone, loop.loop, CASE).trace.states
    start = read_prompts(backbone, CASE).prompt.h0
    first = sorted(set(tiny.environment().table.tokens[:, 0].tolist()))  # type: ignore[union-attr]

    def expects(state: Tensor) -> list[float]:
        logits = backbone.logits(state)[first].tolist()
        exps = [math.exp(one / heat) for one in logits]
        return [one / sum(exps) for one in exps]

    found = []
    for row, (asked,) in enumerate(CASE.depth):
        steps = [expects(state) for state in (start[row, 0], *whole[row, 0, :asked])]
        kl = [
            sum(p * math.log(p / q) for p, q in zip(one, other, strict=True))
            for one, other in pairwise(steps)
        ]
        small = [t for t, apart in enumerate(kl, 1) if t >= least and apart < threshold]
        found.append(min([*small, asked]))
    return found


@pytest.mark.parametrize(
    ("least", "threshold", "heat"),
    [(1, 1e-3, 1.0), (1, 0.02, 1.0), (2, 0.1, 1.0), (1, 0.02, 0.3), (1, 1e9, 1.0)],
)
@torch.no_grad()
def test_it_stops_where_the_rule_says(least: int, threshold: float, heat: float) -> None:
    """And answers as the loop does that was asked to think so long; the longest may ask for more than it."""
    loop = halting(least=least, threshold=threshold, temperature=heat)
    found = think(tiny.backbone(), loop, CASE)
    depths = expected_depths(loop, least, threshold, heat)
    assert depths_of(found) == depths
    told = replace(CASE, depth=[[depth] for depth in depths])
    torch.testing.assert_close(found.predictions, think(tiny.backbone(), loop.loop, told).predictions)


def depths_of(outcome: Outcome) -> list[int]:
    assert outcome.trace.depth is not None
    return [row[0] for row in outcome.trace.depth.tolist()]


def test_depths_of_the_cases_differ() -> None:
    """Else the test above would say little."""
    assert len(set(expected_depths(halting(), 1, 0.02))) > 2


@torch.no_grad()
def test_it_runs_no_further_than_the_last_branch_needs() -> None:
    trace = think(tiny.backbone(), halting(threshold=1e9), CASE).trace
    assert trace.states.shape[2] == 1


@pytest.mark.parametrize("threshold", [0.02, 1e9])
def test_exits_in_place_of_thoughts_answer_as_exits_of_their_own(threshold: float) -> None:
    """Where a loop with an exit token ends early, without gradients as with them."""
    loop = halting({"use": "coconut"}, threshold=threshold)
    whole = think(tiny.backbone(), loop, CASE)
    with torch.no_grad():
        lean = think(tiny.backbone(), loop, CASE)
    assert depths_of(lean) == depths_of(whole)
    torch.testing.assert_close(lean.predictions, whole.predictions)


def test_in_training_it_thinks_to_the_end() -> None:
    trained = think(tiny.backbone(), halting(threshold=1e9).train(), CASE)
    assert depths_of(trained) == [6, 6, 2, 0, 6]


@dataclass(frozen=True)
class Places(Context):
    """Counts nodes alone."""

    nodes: int

    @property
    def length(self) -> int:
        return self.nodes


class Deciding(torch.nn.Module):
    """Each thought goes half the way to what it will say in the end, one item for all certain; the state is
    the logits."""

    goal = torch.tensor([6.0, 0.0, 0.0])

    def advance(self, inputs: Tensor, parent: Tensor, past: Places) -> tuple[Tensor, Places]:
        return (inputs + self.goal) / 2, Places(past.nodes + parent.shape[1])

    def logits(self, states: Tensor, tokens: Tensor) -> Tensor:
        return states[..., tokens]


@torch.no_grad()
def test_it_stops_earlier_on_easy_rows() -> None:
    """Prompts that all but say the item, lean to it, know nothing, and say another."""
    loop = halting(threshold=0.02)
    loop.loop.positions.weight = torch.nn.Parameter(torch.zeros(16, 3))
    loop.tokens = torch.arange(3)
    h0 = torch.tensor([[5.5, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 9.0, 0.0]])[:, None]
    tip = torch.zeros(4, 1, dtype=torch.int64)
    prompt = Prompt(h0, tip, Places(1), h0, tip[:, 0], tip, tip + 1)
    depths = loop.run(Deciding(), prompt, torch.full((4, 1), 8), 8).depth[:, 0].tolist()
    assert depths == [1, 2, 3, 4]


def test_another_loop_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be halted; use coconut, rearec, pause or noise"):
        halting(loop="none")
