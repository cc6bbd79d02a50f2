"""Rewards against the values of the paper's formulas and a loop over places."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.interfaces import Reward
from lasar_kit.core.values import Env, Judged, SidTable
from lasar_kit.errors import UserError
from lasar_kit.stages.rl.rewards import total_reward
from lasar_plugins.reward.standard.config import NdcgConfig, PrefixConfig, RuleConfig
from lasar_plugins.reward.standard.ndcg import NdcgReward
from lasar_plugins.reward.standard.prefix import PrefixReward
from lasar_plugins.reward.standard.rule import RuleReward

OF_EIGHT = [0.2529, 0.1596, 0.1265, 0.1089, 0.0979, 0.0901, 0.0843, 0.0798]
"""Magnitudes by place in a group of 8, to four digits."""
RULE = RuleReward(RuleConfig(use="rule"), Env())


def judged(candidates: Tensor, target: Tensor) -> Judged:
    """Candidates of prompts that show no item."""
    return Judged(candidates, target, torch.full((len(target), 1), -1))


def ndcg(sign: Literal[-1, 1] = -1) -> NdcgReward:
    return NdcgReward(NdcgConfig(use="ndcg", sign=sign), Env())


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("sign", [-1, 1])
def test_ndcg_takes_the_known_magnitudes_from_all_but_the_target(sign: Literal[-1, 1], place: int) -> None:
    candidates = torch.arange(10, 18)[None]
    reward = ndcg(sign).reward(judged(candidates, torch.tensor([10 + place])))
    expected = [0 if i == place else sign * worth for i, worth in enumerate(OF_EIGHT)]
    torch.testing.assert_close(reward, torch.tensor([expected]), atol=5e-5, rtol=0)


def test_ndcg_is_negative_unless_asked_otherwise() -> None:
    assert NdcgConfig(use="ndcg").sign == -1
    for wrong in (0, 2, "plus"):
        with pytest.raises(ValidationError):
            NdcgConfig(use="ndcg", sign=wrong)  # type: ignore[arg-type]


def test_nothing_is_given_without_a_hit() -> None:
    candidates, target = torch.tensor([[1, 2, 3], [4, 5, -1]]), torch.tensor([9, 3])
    for reward in (RULE, ndcg(), ndcg(1)):
        assert reward.reward(judged(candidates, target)).tolist() == [[0.0] * 3] * 2


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    """Candidates of B prompts, among them repeats and -1, and targets."""
    size = draw(st.integers(1, 9))
    group = st.lists(st.integers(-1, 5), min_size=size, max_size=size)
    rows = draw(st.lists(group, min_size=1, max_size=4))
    return rows, [draw(st.integers(0, 5)) for _ in rows]


@given(case=groups(), sign=st.sampled_from([-1, 1]))
def test_rewards_are_those_of_a_loop(case: Any, sign: Literal[-1, 1]) -> None:
    rows, targets = case
    for name, reward in (("rule", RULE), ("ndcg", ndcg(sign))):
        got = reward.reward(judged(torch.tensor(rows), torch.tensor(targets)))
        assert got.dtype == torch.float32
        for row, target, values in zip(rows, targets, got.tolist(), strict=True):
            total = sum(1 / math.log2(i + 2) for i in range(len(row)))
            for i, item in enumerate(row):
                expected = float(item == target)
                if name == "ndcg":
                    beside = target in row and item not in (target, -1)
                    expected = sign / math.log2(i + 2) / total if beside else 0
                assert values[i] == pytest.approx(expected, abs=1e-6)


def test_total_is_the_weighted_sum() -> None:
    candidates, target = torch.tensor([[7, 3, 5]]), torch.tensor([3])
    total = 1 + 1 / math.log2(3) + 0.5
    expected = [-0.5 / total, 2.0, -0.5 * 0.5 / total]
    got = total_reward([(2.0, RULE), (0.5, ndcg())], judged(candidates, target))
    torch.testing.assert_close(got, torch.tensor([expected]))
    assert total_reward([], judged(candidates, target)).tolist() == [[0, 0, 0]]


def test_the_catalogue_builds_them() -> None:
    catalogue = Catalogue.discover()
    for name in ("rule", "ndcg"):
        config = catalogue.config_class("reward", name)(use=name)
        assert isinstance(catalogue.build("reward", config, Env()), Reward)


def test_prefix_counts_the_levels_in_common_from_the_first_on() -> None:
    table = SidTable(torch.tensor([[1, 4, 7], [1, 4, 8], [1, 5, 7], [2, 4, 7]]))
    reward = PrefixReward(PrefixConfig(use="prefix"), Env(table=table))
    assert isinstance(reward, Reward)
    candidates = torch.tensor([[0, 1, 2, 3, -1], [3, 2, 1, 0, -1]])
    found = reward.reward(judged(candidates, torch.tensor([0, 2])))
    expected = torch.tensor([[1, 2 / 3, 1 / 3, 0, 0], [0, 1, 1 / 3, 1 / 3, 0]])
    torch.testing.assert_close(found, expected)
    with pytest.raises(UserError, match="needs the semantic IDs"):
        PrefixReward(PrefixConfig(use="prefix"), Env())


def test_levels_in_common_by_a_table() -> None:
    """GREAM's: 0.5, 0.707, 0.866, 0.95 for 1..4 levels, 1 for the whole SID, however long that is."""
    values = (0.5, 0.707, 0.866, 0.95)
    for levels in (3, 4, 5, 6):
        row = list(range(levels))
        others = [row[:same] + [9] * (levels - same) for same in range(levels)]
        table = SidTable(torch.tensor([*others, row]))
        reward = PrefixReward(PrefixConfig(use="prefix", values=values), Env(table=table))
        found = reward.reward(judged(torch.arange(levels + 1)[None], torch.tensor([levels])))
        expected = [0.0, *(*values, 0.95)[: levels - 1], 1.0]
        assert found[0].tolist() == pytest.approx(expected)
    with pytest.raises(ValidationError, match="must not earn less"):
        PrefixConfig(use="prefix", values=(0.5, 0.4))


class Words:
    """A tokenizer whose tokens 3 and 4 read "Step" and "hair", and 9 the end of a text."""

    def convert_tokens_to_ids(self, token: str) -> int:
        return {"</think>": 9}[token]

    def decode(self, ids: list[int]) -> str:
        return " ".join({3: "Step", 4: "hair"}[token] for token in ids)


def test_a_text_that_has_no_end_earns_nothing() -> None:
    """And where a pattern is asked for, one that lacks it; nothing written opens the gate."""
    catalogue = Catalogue.discover()
    env = Env(tokenizer=Words(), build=catalogue.build)
    candidates, target = torch.tensor([[5, 5, 6, 5]]), torch.tensor([5])
    written = torch.tensor([[[3, 4, 9], [3, 4, 4], [3, 9, -1], [4, 9, -1]]])
    nothing = torch.full_like(written, -1)

    def earned(written: Tensor | None, **options: Any) -> list[float]:
        config = catalogue.config_class("reward", "format_gate").model_validate(
            {"use": "format_gate", "reward": "rule", **options}, context={"catalogue": catalogue}
        )
        reward = catalogue.build("reward", config, env)
        found: list[float] = reward.reward(Judged(candidates, target, torch.full((1, 1), -1), written))[
            0
        ].tolist()
        return found

    assert earned(written) == [1, 0, 0, 1]
    assert earned(written, pattern="^Step") == [1, 0, 0, 0]
    assert earned(written[:, 1:2]) == [0, 0, 0, 0]
    assert earned(written[:, :1]) == earned(nothing) == earned(None) == [1, 1, 0, 1]
    with pytest.raises(ValidationError, match="not a regular expression"):
        earned(written, pattern="(")
