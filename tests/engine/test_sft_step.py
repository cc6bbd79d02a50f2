"""The loss of a training step against a plain forward of the model, and its forms against each other."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from lasar_kit.core.lesson import TaskRows
from lasar_kit.core.values import Env, Prompt
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.sft.stage import _SftTraining
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.stages.sft.view import LessonView
from lasar_plugins.sft_objective.answer.config import AnswerConfig
from lasar_plugins.sft_objective.answer.objective import Answer
from lasar_plugins.sft_objective.text.config import ItemTextConfig
from lasar_plugins.sft_objective.text.plain import ItemText

Build = Callable[..., Recommender]
TERMS = {"ce": Answer(AnswerConfig(use="answer"), Env())}
WINDOWS = [np.array(row) for row in ([3, 9, 3, 20], [7, 8], [25, 1, 2, 14, 5])]


@torch.no_grad()
def by_hand(recommender: Recommender, windows: Sequence[np.ndarray], score: str) -> float:
    """Each prefix alone through transformers' own forward, each answer token's cross-entropy summed."""
    prompts, model = recommender.prompts, recommender.backbone.model
    catalogue = prompts.tokens.tolist()
    total = 0.0
    for window in windows:
        for end in range(1, len(window)):
            prompt = prompts.prompts([window[:end]]).ids[0].tolist()
            answer = prompts.tokens[window[end]].tolist()
            logits = model(torch.tensor([prompt + answer[:-1]])).logits[0, len(prompt) - 1 :]
            for level, token in enumerate(answer):
                row = logits[level]
                if score == "trie":
                    allowed = sorted({item[level] for item in catalogue if item[:level] == answer[:level]})
                    total -= float(row[token] - row[allowed].logsumexp(0))
                else:
                    total -= float(row.log_softmax(0)[token])
    return total


@pytest.mark.parametrize("prompt", ["sid_only", "minionerec"])
@pytest.mark.parametrize("score", ["vocabulary", "trie"])
def test_packed_sliding_and_plain_forwards_agree(build: Build, prompt: str, score: str) -> None:
    recommender = build(prompt)
    step = SftStep(recommender, score, TERMS)  # type: ignore[arg-type]
    packed = step(recommender.prompts.packed(WINDOWS, transparent=True)).sums["ce"]
    branched = step(recommender.prompts.packed(WINDOWS, transparent=False)).sums["ce"]
    samples = [(row[:end], int(row[end])) for row in WINDOWS for end in range(1, len(row))]
    sliding = step(recommender.prompts.answered(samples)).sums["ce"]
    expected = by_hand(recommender, WINDOWS, score)
    assert packed.item() == pytest.approx(expected, rel=1e-5)
    assert branched.item() == pytest.approx(expected, rel=1e-5)
    assert sliding.item() == pytest.approx(expected, rel=1e-5)


def test_packed_and_sliding_give_the_same_gradients(build: Build) -> None:
    recommender = build("minionerec")
    step = SftStep(recommender, "vocabulary", TERMS)
    samples = [(row[:end], int(row[end])) for row in WINDOWS for end in range(1, len(row))]
    gradients = []
    packed = recommender.prompts.packed(WINDOWS, transparent=True)
    for batch in (packed, recommender.prompts.answered(samples)):
        step.zero_grad()
        step(batch).sums["ce"].backward()
        gradients.append([p.grad.clone() for p in step.parameters() if p.grad is not None])
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_last_item_of_a_window_learns_no_successor(build: Build) -> None:
    """Changing the batch a window stands in does not change its loss: what follows its end is not asked."""
    recommender = build("sid_only")
    step = SftStep(recommender, "vocabulary", TERMS)
    short = step(recommender.prompts.packed([np.array([3, 9])], transparent=True)).sums["ce"]
    longer = step(recommender.prompts.packed([np.array([3, 9]), np.array([1, 2, 4])], transparent=True)).sums[
        "ce"
    ]
    other = step(recommender.prompts.packed([np.array([1, 2, 4])], transparent=True)).sums["ce"]
    assert longer.item() == pytest.approx(short.item() + other.item(), rel=1e-5)


def test_the_text_loss_is_that_of_transformers(build: Build) -> None:
    """Two texts of different length, padded, against the model's own loss on each alone."""
    recommender = build("sid_only")
    texts = [
        torch.tensor(recommender.backbone.tokenizer(text)["input_ids"]) for text in ("soap", "soap and brush")
    ]
    expected = 0.0
    for ids in texts:
        with torch.no_grad():
            logits = recommender.backbone.model(ids[None]).logits[0, :-1]
        expected += torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
    width = max(map(len, texts))
    padded = torch.stack([torch.nn.functional.pad(ids, (width - len(ids), 0), value=-1) for ids in texts])
    rows = TaskRows(padded, torch.tensor([len(ids) - 1 for ids in texts]), sid=False)
    lesson = replace(recommender.prompts.packed(WINDOWS, transparent=True), rows={"text": rows})
    items = pl.DataFrame({"title": ["soap"], "brand": [""], "categories": [""], "description": [""]})
    env = Env(tokenizer=recommender.backbone.tokenizer, items=items)
    objective = ItemText(ItemTextConfig(use="item_text"), env)
    found = SftStep(recommender, "trie", {"text": objective})(lesson).sums
    assert found["text"].item() == pytest.approx(expected, rel=1e-5)
    assert objective.count(lesson, rows) == sum(len(ids) - 1 for ids in texts)


def test_each_prompt_is_thought_about_as_long_as_told(build: Build) -> None:
    """Clipped to what the policy could choose; where nothing is told (0), as long as it does choose."""
    recommender = build("sid_only")
    seen: list[list[int]] = []

    class Policy:
        support = (1, 2, 3, 4)

        def logits(self, prompt: Prompt) -> torch.Tensor:
            return torch.tensor([0.0, 0.0, 1.0, 0.0]).expand(*prompt.h0.shape[:-1], 4)

    class Loop:
        transparent = False

        def run(self, backbone: object, prompt: object, depth: torch.Tensor, steps: int) -> None:
            assert steps == int(depth.max())
            seen.append(depth.flatten().tolist())

    recommender.depth_policy, recommender.latent_loop = Policy(), Loop()
    scorer = SftStep(recommender, "vocabulary", TERMS).scorer
    lesson = recommender.prompts.answered([(np.array([3, 9]), 5)] * 4)
    for depth in (None, torch.tensor([[1], [4], [0], [9]])):
        assert LessonView(recommender, scorer, replace(lesson, depth=depth)).trace is None
    assert seen == [[3, 3, 3, 3], [1, 4, 3, 4]]


def test_a_depth_of_none_that_was_settled_is_not_chosen_again(build: Build) -> None:
    """Under dropout the policy would; what is counted by a prompt's depth was counted before."""
    recommender = build("sid_only", thinks=True, embedding_dropout=0.5).train()
    scorer = SftStep(recommender, "vocabulary", TERMS).scorer
    lesson = recommender.prompts.answered([(row, 5) for row in WINDOWS])
    recommender.depth_policy.support = tuple(range(len(recommender.depth_policy.support)))
    none = torch.zeros(len(WINDOWS), 1, dtype=torch.long)
    with torch.no_grad():
        recommender.depth_policy.output.bias[0] = -9.0
    assert LessonView(recommender, scorer, replace(lesson, depth=none)).depth.all()
    assert not LessonView(recommender, scorer, replace(lesson, depth=none, settled=True)).depth.any()
    told = SimpleNamespace(
        updater=SimpleNamespace(plain=recommender, depths=lambda batch: none),
        accelerator=SimpleNamespace(device="cpu"),
    )
    [(settled, weight)] = _SftTraining._settled(told, [(lesson, 1.0)])  # type: ignore[arg-type]
    assert (settled.settled, weight) == (True, 1.0)


def test_a_second_reading_thinks_as_long_as_the_first(build: Build) -> None:
    """Also where the policy chooses, and would choose otherwise under other dropout."""
    recommender = build("sid_only", thinks=True, embedding_dropout=0.5).train()
    scorer = SftStep(recommender, "vocabulary", TERMS).scorer
    lesson = recommender.prompts.answered([(row, 5) for row in WINDOWS] * 4)
    torch.manual_seed(0)
    recommender.depth_policy.output.weight.data.normal_()
    view = LessonView(recommender, scorer, lesson)
    again = view.again(noise=0.1)
    alone = LessonView(recommender, scorer, lesson)
    assert not torch.equal(alone.depth, view.depth), "this policy feels dropout"
    assert torch.equal(again.trace.mask, view.trace.mask)
    assert not torch.equal(again.prompt.h0, view.prompt.h0)
