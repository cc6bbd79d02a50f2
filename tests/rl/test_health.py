"""RL's words of itself when it fails."""

from __future__ import annotations

from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.stages.rl.config import RlConfig
from lasar_kit.stages.rl.health import PATIENCE, Health

SOUND = {"reward": 0.1, "group_hit": 0.2, "zero_variance": 0.8, "kl": 0.3, "depth": 3.2, "depth_entropy": 0.7}
NO_REWARD = {"reward": 0.0, "group_hit": 0.0, "zero_variance": 1.0}


def health(updates: int = 100, depths: int = 8, **options: Any) -> Health:
    config = RlConfig.model_validate({"use": "rl", **options}, context={"catalogue": Catalogue.discover()})
    return Health(config, updates, depths, levels=4)


@pytest.mark.parametrize(
    ("numbers", "after", "says"),
    [
        (
            NO_REWARD,
            PATIENCE,
            "no candidate has earned anything (reward 0, group_hit 0, 8 candidates a prompt)",
        ),
        ({"zero_variance": 1.0}, PATIENCE, "of every prompt have one reward (zero_variance 1, reward 0.1)"),
        (
            {"depth_entropy": 0.002},
            PATIENCE,
            "it thinks 3.20 times whatever the prompt (depth_entropy 0.002 nats)",
        ),
        (
            {"kl": 1.25},
            1,
            "runs away from the reference (kl 1.25 nats); raise grpo's beta, or lower optimizer.lr (1",
        ),
    ],
)
def test_a_fault_is_told_once_when_it_lasts(numbers: dict[str, float], after: int, says: str) -> None:
    watch = health()
    told = [watch.after(update, SOUND | numbers) for update in range(1, 13)]
    assert [len(lines) for lines in told] == [int(update == after) for update in range(1, 13)]
    (line,) = told[after - 1]
    assert line.startswith(f"at update {after}: ")
    assert says in line


def test_what_is_sound_says_nothing() -> None:
    watch = health()
    assert [watch.after(update, SOUND) for update in range(1, 13)] == [[]] * 12
    just = SOUND | {"kl": 1.0, "depth_entropy": 0.01, "zero_variance": 0.999, "reward": -1e-6}
    assert [watch.after(update, just) for update in range(13, 25)] == [[]] * 12


def test_a_fault_between_sound_updates_is_none() -> None:
    watch = health()
    for update in range(1, 30):
        assert watch.after(update, SOUND | NO_REWARD if update % PATIENCE else SOUND) == []


def test_a_run_of_few_updates_is_told_at_its_end() -> None:
    watch = health(updates=2)
    assert watch.after(1, SOUND | NO_REWARD) == []
    assert len(watch.after(2, SOUND | NO_REWARD)) == 1


def test_one_depth_to_choose_is_no_collapse() -> None:
    assert health(updates=1, depths=1).after(1, SOUND | {"depth_entropy": 0.0}) == []


def test_a_kl_by_sequence_is_a_sum_over_its_tokens() -> None:
    by_sequence = [{"objective": {"use": "grpo", "level": "sequence"}}]
    assert health(objectives=by_sequence).after(1, SOUND | {"kl": 4.0}) == []
    assert len(health(objectives=by_sequence).after(1, SOUND | {"kl": 4.1})) == 1
    second = [{"objective": "reinforce"}, {"objective": "grpo"}]
    assert len(health(objectives=second).after(1, SOUND | {"kl": 1.1})) == 1
    third = [{"objective": "reinforce"}, *by_sequence, {"objective": "grpo"}]
    assert health(objectives=third).after(1, SOUND | {"kl": 4.0, "grpo_2_kl": 1.0}) == []
    assert "grpo_2_kl 1.1" in health(objectives=third).after(1, SOUND | {"grpo_2_kl": 1.1})[0]


def test_a_kl_is_called_as_its_objective_is() -> None:
    """One that logs none has a number all the same; another kind has none of these."""
    mixed = [
        {"objective": {"use": "grpo", "beta": 0}},
        *({"objective": name} for name in ("grpo", "grpo", "srpo")),
    ]
    for name in ("kl", "grpo_3_kl", "srpo_kl"):
        assert f"{name} 1.1" in health(objectives=mixed).after(1, SOUND | {name: 1.1})[0]
    assert health(objectives=mixed).after(1, SOUND | {"grpo_2_kl": 1.1}) == []
