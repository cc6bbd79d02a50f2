"""The Coconut loop against whole forwards without a cache, one a branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.core.chains import opened, read_chains
from lasar_kit.core.feedback import rescale
from lasar_kit.core.interfaces import LatentLoop
from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_START
from lasar_kit.testing.strategies import prompt_of
from lasar_plugins.latent_loop.coconut.feedback import Projection
from lasar_plugins.latent_loop.coconut.loop import CoconutLoop
from tests.closeness import assert_same

Make = Callable[..., Any]
OPTIONS = list(
    product(
        ("lat_s", "prompt_last"),
        ("none", "embedding_rms", "projection"),
        ("e_token", "hN_as_input", "direct"),
    )
)
H0, SCALE, EXIT = ("lat_s", "none", "e_token")


def start(backbone: Any) -> int:
    """The token that thinking begins with."""
    return int(backbone.tokenizer.convert_tokens_to_ids(LATENT_START))


@contextmanager
def calls(backbone: Any) -> Iterator[list[int]]:
    """How many tokens a row each call of `advance` reads."""
    widths: list[int] = []
    advance = backbone.advance

    def counted(inputs: torch.Tensor, *rest: Any) -> Any:
        widths.append(inputs.shape[1])
        return advance(inputs, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "advance", counted)
        yield widths


def close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("h0", "scale", "exit"), OPTIONS)
def test_every_branch_equals_its_plain_recomputation(
    double: Make,
    coconut: Make,
    case: Any,
    run: Make,
    plain: Make,
    attention: str,
    h0: str,
    scale: str,
    exit: str,
) -> None:
    backbone, loop = double(attention=attention), coconut(h0=h0, feedback_scale=scale, exit=exit).double()
    with torch.no_grad():
        outcome = run(backbone, loop, case, surplus=1)
        for b, r in product(range(2), range(3)):
            only = case.only(b, r)
            prompt = backbone.embed(torch.tensor(only.rows[0]))
            thoughts, states = plain(backbone, loop, prompt, only.depth[0][0], only.answer[0][0])
            assert_same(outcome.thoughts(b, r), thoughts)
            assert_same(outcome.predictions[b, r], states)


def test_mask_and_tip_say_which_thoughts_are_a_branchs_own(
    tiny: Make, coconut: Make, case: Any, run: Make
) -> None:
    """The prompt has 8 nodes, then 3 a step: <|lat_s|> from 8, thought t from 8 + 3t, the exit from 23.

    Without gradients a branch's exit stands where others have its thought N + 1, or, after four thoughts,
    right behind the last.
    """
    learnt = run(tiny("sdpa"), coconut(), case).trace
    with torch.no_grad():
        ended = run(tiny("sdpa"), coconut(), case).trace
        direct = run(tiny("sdpa"), coconut(exit="direct"), case).trace
    for trace in (learnt, ended):
        assert trace.mask.sum(-1).tolist() == case.depth
        assert trace.mask[0, 2].tolist() == [True] * 4
        assert trace.mask[1, 1].tolist() == [True, True, True, False]
        assert trace.context.length == 26
    assert direct.tip.tolist() == [[14, 9, 22], [11, 18, 16]]
    assert learnt.tip.tolist() == [[23, 24, 25]] * 2
    assert ended.tip.tolist() == [[8 + 9, 9 + 3, 20 + 5], [8 + 6, 20 + 2, 10 + 9]]
    assert direct.context.length == 23


def test_without_gradients_no_more_calls_are_made_than_thoughts(double: Make, coconut: Make) -> None:
    """Three users who think 2, 3 and 0 times: three calls, the last of two tokens each."""
    backbone, loop, depth = double(attention="sdpa"), coconut().double(), torch.tensor([[2], [3], [0]])
    ids = torch.tensor([[260, 264, 259], [7, 262, 266], [7, 7, 265]])
    with torch.no_grad():
        states, context = read_chains(backbone, *opened(ids, torch.tensor([3, 2, 1]), start(backbone)))
        prompt = replace(prompt_of(states[:, 2:3]), tip=torch.full((3, 1), 2), context=context)
        with calls(backbone) as widths:
            apart = loop.run(backbone, prompt, depth, 3)
            assert widths == [1, 1, 1, 2]
            widths.clear()
            together = loop.run(backbone, replace(prompt, opened=states[:, 3:]), depth, 3)
            assert widths == [1, 1, 2]
            widths.clear()
            loop.run(backbone, replace(prompt, opened=states[:, 3:]), torch.zeros_like(depth), 0)
            assert widths == [1]
    assert_same(together.last, apart.last)
    assert_same(together.states[together.mask], apart.states[apart.mask])


@pytest.mark.parametrize("exit", ["e_token", "hN_as_input", "direct"])
@settings(max_examples=8)
@given(data=st.data())
def test_a_branch_alone_is_the_branch_in_any_batch(
    double: Make, coconut: Make, run: Make, branches: Make, exit: str, data: st.DataObject
) -> None:
    token = st.integers(259, 266)
    rows = data.draw(st.lists(st.lists(token, min_size=1, max_size=5), min_size=1, max_size=3))
    count = data.draw(st.integers(1, 3))

    def each(strategy: Callable[[list[int]], st.SearchStrategy[Any]]) -> list[list[Any]]:
        return [[data.draw(strategy(row)) for _ in range(count)] for row in rows]

    case = branches(
        rows,
        each(lambda row: st.integers(0, len(row) - 1)),
        each(lambda row: st.integers(0, 4)),
        each(lambda row: st.lists(token, min_size=2, max_size=2)),
        data.draw(st.integers(0, 3)),
    )
    backbone, loop = double(), coconut(exit=exit)
    with torch.no_grad():
        together = run(backbone, loop, case, surplus=data.draw(st.integers(0, 2)))
        for b, r in product(range(len(rows)), range(count)):
            alone = run(backbone, loop, case.only(b, r))
            assert_same(together.thoughts(b, r), alone.thoughts(0, 0))
            assert_same(together.predictions[b, r], alone.predictions[0, 0])


@pytest.mark.parametrize("scale", ["none", "projection"])
@pytest.mark.parametrize("exit", ["e_token", "hN_as_input", "direct"])
def test_surplus_steps_change_nothing(
    double: Make, coconut: Make, case: Any, run: Make, exit: str, scale: str
) -> None:
    """Neither values nor gradients."""
    backbone, loop, found = double(), coconut(exit=exit, feedback_scale=scale).double(), []
    for surplus in (0, 3):
        outcome = run(backbone, loop, case, surplus=surplus)
        assert outcome.trace.states.shape[2] == max(map(max, case.depth)) + surplus
        thoughts = outcome.trace.states[outcome.trace.mask]
        loss = outcome.predictions.square().sum() + thoughts.sin().sum()
        wanted = [outcome.inputs, *loop.parameters(), *backbone.model.parameters()]
        found.append([thoughts, outcome.predictions, *torch.autograd.grad(loss, wanted)])
    for without, with_surplus in zip(*found, strict=True):
        assert_same(with_surplus, without)


def test_siblings_are_blind_to_each_other(
    tiny: Make, coconut: Make, case: Any, run: Make, branches: Make
) -> None:
    """Another sibling's depth and answer leave a branch exactly as it was; its own do not."""
    other = branches(
        case.rows,
        case.tips,
        [[2, 4, 4], [1, 0, 2]],
        [[*row[:1], [266, 266], *row[2:]] for row in case.answer],
        2,
    )
    with torch.no_grad():
        one, two = (run(tiny("sdpa"), coconut(), x) for x in (case, other))
    assert torch.equal(one.predictions[:, [0, 2]], two.predictions[:, [0, 2]])
    assert torch.equal(one.trace.states[:, [0, 2]], two.trace.states[:, [0, 2]])
    assert not torch.allclose(one.predictions[:, 1, 0], two.predictions[:, 1, 0], atol=1e-2)


def test_the_same_call_gives_the_same_bits(tiny: Make, coconut: Make, case: Any, run: Make) -> None:
    with torch.no_grad():
        one, two = (run(tiny("sdpa"), coconut(feedback_scale="projection"), case) for _ in range(2))
    assert torch.equal(one.predictions, two.predictions)
    assert torch.equal(one.trace.states, two.trace.states)


def test_depth_is_felt(tiny: Make, coconut: Make, branches: Make, run: Make) -> None:
    """One prompt thought about for 0 to 4 steps: five different predictions."""
    case = branches([[260, 261, 262]], [[2] * 5], [[0, 1, 2, 3, 4]], [[[260, 264]] * 5])
    with torch.no_grad():
        first = run(tiny("sdpa"), coconut(), case).predictions[0, :, 0]
    assert float(torch.pdist(first).min()) > 0.1


def test_scales_of_what_is_fed(tiny: Make, coconut: Make) -> None:
    """A state of norm 4: fed as it is, at the embeddings' mean norm, and at norm 1 by a new projection."""
    backbone = tiny("sdpa")
    h = (
        torch.nn.functional.normalize(
            torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0)), dim=-1
        )
        * 4
    )
    table = backbone.model.get_input_embeddings().weight
    norm = backbone.embedding_norm()
    assert float(norm) == pytest.approx(float(table.detach().norm(dim=1).mean()), rel=1e-6)
    assert not norm.requires_grad
    close(coconut().fed(h, 0, prompt_of(h), None), h)
    rescaled = coconut(feedback_scale="embedding_rms").fed(h, 0, prompt_of(h), norm)
    close(rescaled.norm(dim=-1), norm.expand(2, 3))
    close(rescaled / norm, h / 4)
    close(Projection(16)(h), h / 4)
    # Of norm 4e-3 the mean square is 1e-6, as much as is added to it.
    close(Projection(16)(h / 1000), h / 4 / 2**0.5)


def test_narrow_states_are_rescaled_in_float32() -> None:
    h = (3 * torch.randn(50, 16, generator=torch.Generator().manual_seed(1))).bfloat16()
    wide = h.double() / h.double().square().sum(-1, keepdim=True).sqrt() * 0.7
    assert torch.equal(rescale(h, torch.tensor(0.7)), wide.float().bfloat16())


def test_loops_without_a_projection_hold_no_weights(coconut: Make) -> None:
    assert isinstance(coconut(), LatentLoop)
    assert not coconut().transparent
    assert coconut(feedback_scale="embedding_rms").state_dict() == {}
    held = coconut(feedback_scale="projection").state_dict()
    assert {name: tuple(value.shape) for name, value in held.items()} == {
        "projection.linear.weight": (16, 16),
        "projection.norm.weight": (16,),
    }


def test_projection_survives_its_state_dict(tiny: Make, coconut: Make, case: Any, run: Make) -> None:
    loop = coconut(feedback_scale="projection")
    again = CoconutLoop(loop.config, Env(hidden_size=16))
    with torch.no_grad():
        before = run(tiny("sdpa"), again, case).predictions
        again.load_state_dict(loop.state_dict())
        expected, after = (run(tiny("sdpa"), x, case).predictions for x in (loop, again))
    assert torch.equal(after, expected)
    assert not torch.allclose(before, expected, atol=1e-2)


def test_building_draws_nothing_from_the_global_generator(coconut: Make) -> None:
    before = torch.random.get_rng_state()
    coconut(feedback_scale="projection")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("scale", ["none", "embedding_rms", "projection"])
def test_bfloat16_backbone_follows_float32(
    fresh: Make, coconut: Make, case: Any, run: Make, scale: str
) -> None:
    loop = coconut(feedback_scale=scale)
    with torch.no_grad():
        narrow = run(fresh(dtype="bfloat16", initializer_std=0.05), loop, case)
        wide = run(fresh(initializer_std=0.05), loop, case)
    assert narrow.trace.states.dtype == torch.bfloat16
    assert (
        narrow.predictions.float() - wide.predictions
    ).square().mean() < 1e-3 * wide.predictions.square().mean()


def test_fewer_steps_than_depth_are_refused(tiny: Make, coconut: Make, case: Any, run: Make) -> None:
    with pytest.raises(AssertionError, match="a depth of 4 in 3 steps"):
        run(tiny("sdpa"), coconut(), case, surplus=-1)
