"""The terms of an RL update: what each is a mean over, what they are called, how passes make up a batch."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Anchors, Env
from lasar_kit.model.recommender import Recommender
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.stages.rl.config import RlConfig, named
from lasar_kit.stages.rl.step import Group, RlStep, joined
from lasar_kit.train.config import RlOptimizerConfig
from lasar_kit.train.updater import Term, Updater, training_processes
from tests.engine.test_rl_run import SPEC, log

DEPTH = (3, 1, 2, 4, 2)
SEGMENTS = (2, 3, 0, 3, 2)
"""Of the five prompts below; the third has no text, the first and the fourth think longer than theirs."""


def component(catalogue: Catalogue, kind: str, use: str, **options: Any) -> Any:
    config = catalogue.config_class(kind, use)(use=use, **options)
    return catalogue.build(kind, config, Env())


def group_of(recommender: Recommender) -> Group:
    """Five prompts with three candidates each."""
    draw = torch.Generator().manual_seed(2)
    rows = [([3, 9], 5), ([7, 8, 11, 2], 1), ([4], 2), ([6, 1, 5], 3), ([2, 2], 9)]
    lesson = recommender.prompts.answered([(np.array(row), item) for row, item in rows])
    mask = torch.arange(3) < torch.tensor(SEGMENTS)[:, None, None]
    states = torch.randn(5, 1, 3, 16, generator=draw)
    items = torch.tensor([[5, 1, 20], [4, 29, -1], [2, 8, 7], [3, 11, 0], [6, 7, 8]])
    rewards = torch.tensor([[1.0, 0, -0.2], [0.0, -0.4, 0], [0, 0, 0], [1, -0.1, -0.2], [-0.3, 0.0, 0.5]])
    depth = torch.tensor(DEPTH)
    lesson = replace(lesson, anchors=Anchors(states, mask))
    return Group(lesson, items, rewards, depth, depth - 1, torch.tensor(0.2))


def step_of(build: Callable[..., Recommender], catalogue: Catalogue, **aligner: Any) -> RlStep:
    recommender = build(thinks=True)
    objectives = {
        "grpo": component(catalogue, "rl_objective", "grpo", beta=0.1),
        "reinforce": component(catalogue, "rl_objective", "reinforce"),
        "grpo_2": component(catalogue, "rl_objective", "grpo", level="sequence", constant_groups="keep"),
    }
    held = component(catalogue, "aligner", **(aligner or {"use": "terminal", "distance": "mse"}))
    return RlStep(recommender, recommender.frozen(), objectives, held, "trie").eval()


@pytest.mark.parametrize(("excess", "held"), [("first", [0, 1, 3, 4]), ("skip", [1, 4])])
def test_alignment_is_a_mean_over_the_prompts_that_have_anchors(
    build: Callable[..., Recommender], catalogue: Catalogue, excess: str, held: list[int]
) -> None:
    """Against each held prompt's mean squared distances, read by itself."""
    step = step_of(build, catalogue, use="stepwise", distance="mse", excess=excess)
    group = group_of(step.recommender)
    means = []
    for row in held:
        alone = group.prompts([row])
        prompt = step.recommender.read(alone.lesson.prompts)
        loop = step.recommender.latent_loop
        trace = loop.run(step.recommender.backbone, prompt, alone.depth[:, None], DEPTH[row])
        pairs = min(DEPTH[row], SEGMENTS[row])
        assert alone.lesson.anchors is not None
        difference = trace.states[0, 0, :pairs] - alone.lesson.anchors.states[0, 0, :pairs]
        means.append(float(difference.detach().square().mean()))
    losses, count = step(group).sums, step.counts(group)["align"]
    assert count == len(held)
    assert float(losses["align"].detach()) / count == pytest.approx(sum(means) / len(held), rel=1e-4)


def test_prompts_without_anchors_leave_the_alignment_as_it_is(
    build: Callable[..., Recommender], catalogue: Catalogue
) -> None:
    step = step_of(build, catalogue)
    whole = group_of(step.recommender)
    means = []
    for group in (whole, whole.prompts([0, 1, 3, 4])):
        means.append(float(step(group).sums["align"].detach()) / step.counts(group)["align"])
    assert means[0] == pytest.approx(means[1], rel=1e-5)
    assert step.counts(whole.prompts([2]))["align"] == 0


@pytest.mark.parametrize("parts", [[[0, 1, 2], [3, 4]], [[0], [1], [2], [3], [4], []]], ids=str)
def test_passes_make_up_the_batch(
    build: Callable[..., Recommender], catalogue: Catalogue, parts: list[list[int]]
) -> None:
    """The same losses, gradients and rollouts as in one pass, in the first update and in the second."""
    found: list[Any] = []
    for split in ([list(range(5))], parts):
        step = step_of(build, catalogue)
        group = group_of(step.recommender)
        updater = Updater(training_processes(0), step, RlOptimizerConfig(lr=1e-3, warmup=0), 10)
        gradients: list[dict[str, Tensor]] = []
        updater.optimizer.optimizer.register_step_pre_hook(
            lambda *_, step=step, gradients=gradients: gradients.append(
                {name: p.grad.clone() for name, p in step.named_parameters() if p.grad is not None}
            )
        )
        step.recommender.backbone.requires_grad_(True)
        terms = {name: Term(0.5, count) for name, count in step.counts(group).items()}
        passes = [(group.prompts(part or [0]), float(len(part) > 0)) for part in split]
        updates = []
        for _ in range(2):
            update = updater.update([(lambda part=part: part, w) for part, w in passes], terms)
            updates.append(update)
            passes = [
                (part.made_by(result.rollout), weight)
                for (part, weight), result in zip(passes, update.results, strict=True)
            ]
        rollout = joined([one.rollout for one, (_, w) in zip(update.results, passes, strict=True) if w])
        found.append((updates, gradients, rollout))
    (ones, slopes, whole), (others, other_slopes, split_up) = found
    for one, other in zip(ones, others, strict=True):
        assert other.terms == pytest.approx(one.terms, rel=1e-3, abs=1e-5)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-3)
    torch.testing.assert_close(other_slopes[0], slopes[0], rtol=1e-3, atol=1e-6)
    assert len(slopes[0]) > 10
    for name, value in vars(whole).items():
        if value is not None:
            torch.testing.assert_close(getattr(split_up, name), value, rtol=1e-3, atol=1e-4, msg=name)


def test_objectives_of_one_name_are_numbered_and_none_is_called_align(catalogue: Catalogue) -> None:
    entries = [
        RlConfig.model_validate(
            {"use": "rl", "objectives": [{"objective": name}]}, context={"catalogue": catalogue}
        ).objectives[0]
        for name in ("grpo", "reinforce", "grpo", "grpo")
    ]
    assert list(named(entries)) == ["grpo", "reinforce", "grpo_2", "grpo_3"]
    third = entries[0].model_copy(
        update={"objective": entries[0].objective.model_copy(update={"use": "align"})}
    )
    assert list(named([third, third])) == ["align_2", "align_3"]


def test_two_objectives_of_one_kind_both_train(tmp_path: Path) -> None:
    (tmp_path / "lasar.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    overrides = (
        "stages.rl.objectives=[{objective: {use: grpo, clip: 0.001}},"
        " {objective: {use: grpo, clip: 9}, weight: 3}]",
        "stages.rl.updates_per_rollout=2",
        "stages.rl.gradient_accumulation=3",
    )
    loaded = load_spec(tmp_path / "lasar.yaml", overrides, catalogue)
    runner.run_spec(loaded, catalogue, tmp_path / "twice", True)
    for line in log(tmp_path / "twice"):
        total = line["loss_grpo"] + 3 * line["loss_grpo_2"] + 1e-5 * line["loss_align"]
        assert line["loss"] == pytest.approx(total, rel=1e-4, abs=1e-6)
        assert line["clipped"] > line["grpo_2_clipped"] == 0
    report = json.loads((tmp_path / "twice" / "stages" / "rl" / "artifact.json").read_text())["report"]
    best = max(report["validations"], key=lambda row: row["ndcg@10"])
    assert report["best_update"] == best["update"]


def test_defaults_are_those_of_the_paper(catalogue: Catalogue) -> None:
    """Table 7 and section 3.1: another learning rate than that of SFT from scratch."""
    context = {"catalogue": catalogue}
    config = RlConfig.model_validate({"use": "rl", "optimizer": {"warmup": 0.08}}, context=context)
    assert (config.optimizer.lr, config.epochs, config.candidates, config.align_weight) == (1e-5, 1, 8, 1e-5)
    assert [entry.weight for entry in config.objectives] == [1, 0.01]
    assert (
        catalogue.config_class("stage", "sft").model_validate({"use": "sft"}, context=context).optimizer.lr
        == 1e-3
    )  # type: ignore[attr-defined]
