"""What ReaRec, the controls and `positions` feed a thought, against whole forwards without a tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from tests.closeness import assert_same

Make = Callable[..., Any]
CATALOGUE = Catalogue.discover()


def loop(use: str, **options: Any) -> Any:
    """In float64, in evaluation mode; vectors of thoughts are moved away from their small start."""
    config = CATALOGUE.config_class("latent_loop", use).model_validate({"use": use, **options})
    made = CATALOGUE.build("latent_loop", config, Env(seed=2, hidden_size=16)).double().eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(10)
    return made


def forward(backbone: Any, sequence: Tensor) -> Tensor:
    states: Tensor = backbone.model.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state
    return states[0]


def branch(
    backbone: Any, prompt: Tensor, enter: list[str], feed: Callable[[Tensor, int], Tensor], depth: int
) -> tuple[list[Tensor], Tensor]:
    """The states h_0 .. h_N of a branch, and all that was read."""
    table = backbone.model.get_input_embeddings().weight
    tokens = [backbone.tokenizer.get_vocab()[name] for name in enter]
    sequence = torch.cat([prompt, table[tokens]])
    states = [forward(backbone, sequence)[-1]]
    for step in range(depth):
        sequence = torch.cat([sequence, feed(states[-1], step)[None]])
        states.append(forward(backbone, sequence)[-1])
    return states, sequence


def each(backbone: Any, made: Any, case: Any, run: Make) -> Any:
    """Branches one by one: their prompt, depth, answer, thoughts and predictions."""
    outcome = run(backbone, made, case, surplus=1)
    for b, r in product(range(2), range(3)):
        only = case.only(b, r)
        prompt = backbone.embed(torch.tensor(only.rows[0]))
        yield (
            prompt,
            only.depth[0][0],
            only.answer[0][0],
            outcome.thoughts(b, r),
            outcome.predictions[b, r],
        )


def behind(backbone: Any, sequence: Tensor, answer: Any) -> Tensor:
    """States at the end of a sequence and behind the tokens of an answer."""
    table = backbone.model.get_input_embeddings().weight
    return forward(backbone, torch.cat([sequence, table[list(answer)]]))[len(sequence) - 1 :]


def stacked(states: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(states) if states else like[:0]


@pytest.mark.parametrize("exit", ["last", "mean"])
@torch.no_grad()
def test_rearec(double: Make, case: Any, run: Make, exit: str) -> None:
    """r_t is read of r_{t-1} + p_t right behind the prompt; the mean is over r_0 .. r_N."""
    backbone, made = double(), loop("rearec", exit=exit)
    for prompt, depth, answer, thoughts, predictions in each(backbone, made, case, run):
        states, sequence = branch(
            backbone, prompt, [], lambda h, step: h + made.positions.weight[step], depth
        )
        assert_same(thoughts, stacked(states[1:], thoughts))
        expected = behind(backbone, sequence, answer)
        assert_same(predictions[1:], expected[1:])
        assert_same(predictions[0], expected[0] if exit == "last" else torch.stack(states).mean(0))


@torch.no_grad()
def test_rearec_may_rescale_what_is_fed_back(double: Make, case: Any, run: Make) -> None:
    """To the mean norm of the embeddings, the position on top (ManCAR)."""
    backbone, made = double(), loop("rearec", feedback_scale="embedding_rms")
    norm = backbone.embedding_norm()

    def feed(h: Tensor, step: int) -> Tensor:
        return h / h.norm() * norm + made.positions.weight[step]

    for prompt, depth, _, thoughts, predictions in each(backbone, made, case, run):
        states, _ = branch(backbone, prompt, [], feed, depth)
        assert_same(thoughts, stacked(states[1:], thoughts))
        assert_same(predictions[0], states[-1])


@torch.no_grad()
def test_positions_are_added_to_what_is_fed_back(double: Make, case: Any, run: Make) -> None:
    backbone, made = double(), loop("coconut", positions=True, exit="direct", feedback_scale="embedding_rms")
    norm = backbone.embedding_norm()

    def feed(h: Tensor, step: int) -> Tensor:
        return h / h.norm() * norm + made.positions.weight[step]

    for prompt, depth, answer, thoughts, predictions in each(backbone, made, case, run):
        states, sequence = branch(backbone, prompt, ["<|lat_s|>"], feed, depth)
        assert_same(thoughts, stacked(states[1:], thoughts))
        assert_same(predictions, behind(backbone, sequence, answer))


@pytest.mark.parametrize("name", ["pause", "noise"])
@torch.no_grad()
def test_the_mean_of_a_control_begins_at_its_opening(double: Make, case: Any, run: Make, name: str) -> None:
    """Of the state at <|lat_s|> and of all thoughts; what follows hangs on the last."""
    backbone, made = double(), loop(name, exit="mean")
    norm = backbone.embedding_norm()
    for prompt, depth, answer, thoughts, predictions in each(backbone, made, case, run):

        def feed(h: Tensor, step: int, shown: int = len(prompt)) -> Tensor:
            if name == "pause":
                return made.pause.weight[step]
            return made.fixed(step, h[None, None])[shown] * norm / 4

        states, sequence = branch(backbone, prompt, ["<|lat_s|>"], feed, depth)
        assert_same(thoughts, stacked(states[1:], thoughts))
        assert_same(predictions[0], torch.stack(states).mean(0))
        assert_same(predictions[1:], behind(backbone, sequence, answer)[1:])


@pytest.mark.parametrize("embeddings", [16, 2])
@torch.no_grad()
def test_pauses_are_fed_no_state(double: Make, case: Any, run: Make, embeddings: int) -> None:
    backbone, made = double(), loop("pause", exit="direct", embeddings=embeddings)
    for prompt, depth, answer, thoughts, predictions in each(backbone, made, case, run):
        states, sequence = branch(
            backbone,
            prompt,
            ["<|lat_s|>"],
            lambda h, step: made.pause.weight[min(step, embeddings - 1)],
            depth,
        )
        assert_same(thoughts, stacked(states[1:], thoughts))
        assert_same(predictions, behind(backbone, sequence, answer))


@torch.no_grad()
def test_noise_is_of_the_row_in_evaluation_and_new_in_training(double: Make, case: Any, run: Make) -> None:
    backbone, made = double(), loop("noise", exit="direct", scale=0.5)
    norm = backbone.embedding_norm()
    for prompt, depth, answer, thoughts, predictions in each(backbone, made, case, run):

        def feed(h: Tensor, step: int, shown: int = len(prompt)) -> Tensor:
            return made.fixed(step, h[None, None])[shown] * 0.5 * norm / 4

        states, sequence = branch(backbone, prompt, ["<|lat_s|>"], feed, depth)
        assert_same(thoughts, stacked(states[1:], thoughts))
        assert_same(predictions, behind(backbone, sequence, answer))
    made.train()
    one, two = (run(backbone, made, case).predictions for _ in range(2))
    assert not torch.allclose(one, two, atol=1e-3)
    deep = torch.tensor(case.depth) > 0
    assert torch.equal(one[~deep], two[~deep])


def test_noise_has_the_length_that_was_asked_for() -> None:
    """Of standard normal numbers in 16 dimensions, root mean square lengths are 4."""
    from lasar_kit.testing.strategies import prompt_of

    made = loop("noise", scale=0.5).train()
    h = torch.zeros(40, 40, 16, dtype=torch.float64)
    torch.manual_seed(0)
    fed = made.fed(h, 0, prompt_of(h), torch.tensor(3.0))
    assert float(fed.square().sum(-1).mean().sqrt()) == pytest.approx(1.5, rel=0.02)
    made.eval()
    prompt = replace(prompt_of(h), items=torch.arange(1600).view(40, 40))
    first, second = (made.fed(h, step, prompt, torch.tensor(3.0)) for step in (0, 1))
    assert float(first.square().sum(-1).mean().sqrt()) == pytest.approx(1.5, rel=0.05)
    assert torch.equal(first.flatten(0, 1)[:64], first.flatten(0, 1)[64:128])
    assert float((first - second).abs().min(-1).values.max()) > 0.1
