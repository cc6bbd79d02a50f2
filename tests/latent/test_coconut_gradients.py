"""Gradients through the loop: against recomputation, finite differences, and with checkpointing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from lasar_kit.testing.strategies import prompt_of
from lasar_plugins.latent_loop.coconut import thoughts as loop_module
from tests.closeness import assert_same

Make = Callable[..., Any]


def weights(shape: torch.Size, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def loss_of(outcome: Any) -> Tensor:
    """Of predictions and of the thoughts that count."""
    thoughts = outcome.trace.states[outcome.trace.mask]
    predicted: Tensor = (outcome.predictions * weights(outcome.predictions.shape, 1)).sum()
    return predicted + (thoughts * weights(thoughts.shape, 2)).sum()


def parameters(backbone: Any, loop: Any) -> list[Tensor]:
    return [*backbone.model.parameters(), *loop.parameters()]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"h0": "prompt_last", "exit": "direct"},
        {"feedback_scale": "projection", "exit": "hN_as_input"},
        {"feedback_scale": "embedding_rms"},
        {"detach": True},
        {"detach": True, "feedback_scale": "projection", "exit": "hN_as_input"},
    ],
)
def test_gradients_equal_those_of_recomputation_without_a_cache(
    double: Make, coconut: Make, case: Any, run: Make, plain: Make, options: dict[str, Any]
) -> None:
    backbone, loop = double(), coconut(**options).double()
    outcome = run(backbone, loop, case, surplus=1)
    found = torch.autograd.grad(loss_of(outcome), [outcome.inputs, *parameters(backbone, loop)])

    inputs = outcome.inputs.detach().requires_grad_()
    states: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for b, r in product(range(2), range(3)):
        begin = inputs.shape[1] - len(case.rows[b])
        prompt = inputs[b, begin : begin + case.tips[b][r] + 1]
        states[b, r] = plain(backbone, loop, prompt, case.depth[b][r], case.answer[b][r])
    thoughts = torch.cat([states[place][0] for place in sorted(states)])
    predictions = torch.stack([states[place][1] for place in sorted(states)]).view_as(outcome.predictions)
    loss = (predictions * weights(predictions.shape, 1)).sum() + (thoughts * weights(thoughts.shape, 2)).sum()
    expected = torch.autograd.grad(loss, [inputs, *parameters(backbone, loop)])

    for computed, cached in zip(expected, found, strict=True):
        assert_same(cached, computed)


def test_gradient_reaches_the_prompt_through_the_last_thought(
    tiny: Make, coconut: Make, case: Any, run: Make
) -> None:
    """Every real token before a branch, and no pad; a token behind the branch gets none."""
    outcome = run(tiny("sdpa"), coconut(), case)
    (gradient,) = torch.autograd.grad(outcome.trace.states[1, 2, 1].sum(), outcome.inputs)
    felt = gradient.abs().sum(-1) > 1e-4
    assert felt.tolist() == [[False] * 8, [False] * 5 + [True, True, False]]


def test_detach_cuts_the_feedback_and_only_that(
    tiny: Make, coconut: Make, case: Any, run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fed state passes no gradient on; the prompt still gets one, by attention, but another."""
    backbone, gradients = tiny("sdpa"), []
    for detach in (False, True):
        fed: list[Tensor] = []
        advance = backbone.advance

        def spy(inputs: Tensor, *rest: Any, into: list[Tensor] = fed, of: Any = advance) -> Any:
            into.append(inputs)
            return of(inputs, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(backbone, "advance", spy)
            outcome = run(backbone, coconut(detach=detach), case)
        # Calls: the prompt, <|lat_s|>, thoughts 1 to 4, and what follows.
        assert [x.requires_grad for x in fed[2:6]] == [not detach] * 4
        gradients.append(torch.autograd.grad(outcome.trace.states[0, 2, 3].sum(), outcome.inputs)[0])
    assert float(gradients[1].abs().max()) > 1e-2
    assert not torch.allclose(gradients[0], gradients[1], atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"exit": "e_token"},
        {"exit": "hN_as_input", "feedback_scale": "projection"},
        {"exit": "direct", "h0": "prompt_last", "feedback_scale": "embedding_rms"},
    ],
)
def test_gradients_equal_finite_differences(double: Make, coconut: Make, options: dict[str, Any]) -> None:
    """In float64 throughout, so that central differences are good to 1e-7."""
    backbone = double(hidden_size=8, heads=2, kv_heads=1)
    loop = coconut(width=8, **options).double()
    tip, depth = torch.tensor([[2, 1], [2, 2]]), torch.tensor([[2, 1], [0, 3]])

    def loss(inputs: Tensor) -> Tensor:
        parent = torch.tensor([[-1, 0, 1], [-1, -1, 1]])
        states, context = backbone.advance(inputs, parent, None)
        h0 = states.gather(1, tip[..., None].expand(-1, -1, 8))
        trace = loop.run(backbone, replace(prompt_of(h0), tip=tip, context=context), depth, 4)
        assert trace.last.dtype == torch.float64
        thoughts = trace.states[trace.mask]
        return (thoughts * weights(thoughts.shape, 1, torch.float64)).sum() + trace.last.sin().sum()

    inputs = weights(torch.Size([2, 3, 8]), 4, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(loss, (inputs,), eps=1e-5, atol=1e-6, rtol=1e-5, fast_mode=True)
    for weight in (backbone.model.model.layers[0].mlp.down_proj.weight, *loop.parameters()):
        (gradient,) = torch.autograd.grad(loss(inputs), weight)
        direction = weights(weight.shape, 5, torch.float64)
        ends = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                weight.add_(direction, alpha=step)
                ends.append(float(loss(inputs)))
        with torch.no_grad():
            weight.add_(direction, alpha=1e-5)
        assert float((gradient * direction).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpointing_gives_the_same_loss_and_gradients(
    fresh: Make, coconut: Make, case: Any, run: Make, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout too, whose draws are repeated; each step is in fact read twice, and less is kept."""
    backbone = fresh(attention_dropout=dropout, layers=3).train()
    results, reads, kept = [], [], []
    advance = backbone.advance

    def counted(*args: Any) -> Any:
        reads[-1] += 1
        return advance(*args)

    monkeypatch.setattr(backbone, "advance", counted)
    for checkpoint in (False, True):
        loop = coconut(checkpoint=checkpoint, feedback_scale="projection")
        reads.append(0)
        kept.append(0)

        def keep(tensor: Tensor) -> Tensor:
            kept[-1] += 1
            return tensor

        with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            torch.manual_seed(11)
            outcome = run(backbone, loop, case)
            loss = loss_of(outcome)
            forward = reads[-1]
            gradients = torch.autograd.grad(loss, [outcome.inputs, *parameters(backbone, loop)])
        results.append((loss, gradients))
        # The prompt, <|lat_s|>, four thoughts, <|lat_e|> and two tokens of the answer; six are checkpointed.
        assert (forward, reads[-1]) == (9, 15 if checkpoint else 9)
    assert kept[1] < 0.6 * kept[0]
    assert torch.equal(results[0][0], results[1][0])
    for without, with_checkpoints in zip(results[0][1], results[1][1], strict=True):
        scale = float(without.abs().max())
        torch.testing.assert_close(with_checkpoints, without, atol=1e-6 * scale, rtol=1e-6)


def test_nothing_is_checkpointed_where_there_is_no_backward_pass(
    tiny: Make, coconut: Make, case: Any, run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "checkpoint", None)
    with torch.inference_mode():
        one, two = (run(tiny("sdpa"), coconut(checkpoint=checkpoint), case) for checkpoint in (False, True))
    assert torch.equal(one.predictions, two.predictions)
