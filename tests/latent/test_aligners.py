"""Aligners: by hand, against other libraries, and by their laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import special
from scipy import stats as scipy_stats
from torch import Tensor
from torch.nn.functional import kl_div

from lasar_kit.core import distances
from lasar_kit.core.interfaces import Aligner
from lasar_kit.core.values import Anchors, Context, Env, LatentTrace
from lasar_kit.errors import UserError
from lasar_plugins.aligner.standard.aligners import NoAlign, Stepwise, Terminal
from lasar_plugins.aligner.standard.config import NoAlignConfig, StepwiseConfig, TerminalConfig

DISTANCES = ("bikl", "cosine", "mse", "l1")
ALL = pytest.mark.parametrize("name", DISTANCES)
KINDS: dict[str, Any] = {"stepwise": (Stepwise, StepwiseConfig), "terminal": (Terminal, TerminalConfig)}
BOTH = pytest.mark.parametrize("kind", sorted(KINDS))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def aligner(kind: str, env: Env | None = None, **options: Any) -> Any:
    build, config = KINDS[kind]
    return build(config.model_validate({"use": kind, **options}), env or Env())


def trace(states: Tensor, depth: list[list[int]]) -> LatentTrace:
    mask = torch.arange(states.shape[2]) < torch.tensor(depth)[..., None]
    tip = torch.zeros(states.shape[:2], dtype=torch.int64)
    return LatentTrace(states, mask, states.new_zeros(*states.shape[:2], states.shape[3]), tip, Context())


def anchors(states: Tensor, count: list[list[int]]) -> Anchors:
    return Anchors(states, torch.arange(states.shape[2]) < torch.tensor(count)[..., None])


@ALL
def test_stepwise_by_a_plain_loop(name: str) -> None:
    """Depths 0 to 4 against 0 to 3 segments: the mean over the pairs that there are."""
    h, c = draw(2, 3, 4, 5), draw(2, 3, 3, 5, seed=1)
    depth, count = [[4, 2, 0], [1, 3, 4]], [[3, 3, 2], [0, 1, 2]]
    found = aligner("stepwise", distance=name).loss(trace(h, depth), anchors(c, count))
    measure = getattr(distances, name)
    for b in range(2):
        for r in range(3):
            pairs = min(depth[b][r], count[b][r])
            each = [float(measure(h[b, r, t], c[b, r, t])) for t in range(pairs)]
            assert float(found[b, r]) == pytest.approx(sum(each) / pairs if pairs else 0.0, rel=1e-5)


def test_stepwise_may_leave_out_branches_with_more_thoughts_than_segments() -> None:
    h, c = draw(1, 4, 4, 5), draw(1, 4, 3, 5, seed=1)
    values = (trace(h, [[4, 3, 2, 1]]), anchors(c, [[3, 3, 1, 2]]))
    kept = aligner("stepwise", excess="first").loss(*values)[0]
    skipped = aligner("stepwise", excess="skip").loss(*values)[0]
    assert (kept > 0).all()
    assert skipped.tolist() == [0, float(kept[1]), 0, float(kept[3])]
    taken = aligner("stepwise", excess="skip").counted(torch.tensor([4, 3, 2]), torch.tensor([3, 3, 1]))
    assert taken.tolist() == [False, True, False]
    assert not aligner("stepwise", excess="first").skips
    assert aligner("stepwise", excess="skip").skips


@ALL
def test_terminal_compares_own_last_thought_and_last_segment(name: str) -> None:
    h, c = draw(2, 2, 4, 5), draw(2, 2, 3, 5, seed=1)
    depth, count = [[4, 2], [0, 1]], [[1, 3], [2, 0]]
    found = aligner("terminal", distance=name).loss(trace(h, depth), anchors(c, count))
    measure = getattr(distances, name)
    assert float(found[0, 0]) == pytest.approx(float(measure(h[0, 0, 3], c[0, 0, 0])), rel=1e-5)
    assert float(found[0, 1]) == pytest.approx(float(measure(h[0, 1, 1], c[0, 1, 2])), rel=1e-5)
    assert found[1].tolist() == [0, 0]


@BOTH
def test_temperature_and_distance_are_passed_on(kind: str) -> None:
    h, c = draw(1, 1, 1, 5), draw(1, 1, 1, 5, seed=1)
    values = (trace(h, [[1]]), anchors(c, [[1]]))
    found = aligner(kind, temperature=3.0).loss(*values)
    assert float(found[0, 0]) == pytest.approx(
        float(distances.bikl(h[0, 0, 0] / 3, c[0, 0, 0] / 3)), rel=1e-6
    )
    with pytest.raises(ValueError, match="temperature has no effect on mse, only on bikl"):
        aligner(kind, temperature=3.0, distance="mse")


@BOTH
def test_vocab_space_compares_what_the_states_predict(kind: str) -> None:
    """States of width 5 through a head of 7 tokens; the head learns from the thoughts alone."""
    head = torch.nn.Linear(5, 7, bias=False)
    with torch.no_grad():
        head.weight.copy_(draw(7, 5, seed=2))
    h, c = draw(1, 2, 1, 5), draw(1, 2, 1, 5, seed=1)
    found = aligner(kind, Env(head=head), space="vocab").loss(trace(h, [[1, 0]]), anchors(c, [[1, 1]]))
    log_p, log_q = ((x[0, 0, 0] @ head.weight.T).log_softmax(-1) for x in (h, c))
    expected = (kl_div(log_q, log_p.exp(), reduction="sum") + kl_div(log_p, log_q.exp(), reduction="sum")) / 2
    assert float(found[0, 0].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert float(found[0, 1].detach()) == 0
    (weight,) = torch.autograd.grad(found.sum(), head.weight)
    fixed = log_q.detach()
    log_p = (h[0, 0, 0] @ head.weight.T).log_softmax(-1)
    thought_alone = (
        kl_div(fixed, log_p.exp(), reduction="sum") + kl_div(log_p, fixed.exp(), reduction="sum")
    ) / 2
    torch.testing.assert_close(weight, torch.autograd.grad(thought_alone, head.weight)[0])


@BOTH
def test_anchors_are_read_by_the_head_as_it_was(kind: str) -> None:
    """The head moves after the aligner is built; only what the thought predicts moves with it."""
    head = torch.nn.Linear(5, 7, bias=False)
    with torch.no_grad():
        head.weight.copy_(draw(7, 5, seed=2))
    before = head.weight.detach().clone()
    env = Env(head=head, frozen_head=lambda: lambda states: states @ before.T)
    built = aligner(kind, env, space="vocab", distance="ce")
    with torch.no_grad():
        head.weight.copy_(-before)
    h, c = draw(1, 1, 1, 5), draw(1, 1, 1, 5, seed=1)
    likeliest = int((before @ c[0, 0, 0]).argmax())
    assert likeliest != int((head.weight @ c[0, 0, 0]).argmax())
    expected = -(head.weight @ h[0, 0, 0]).log_softmax(-1)[likeliest]
    found = built.loss(trace(h, [[1]]), anchors(c, [[1]]))
    assert float(found[0, 0].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


@BOTH
def test_tokens_that_came_since_the_anchors_are_left_out(kind: str) -> None:
    """A loop's own tokens stand behind those that the head knew which read the anchors."""
    weight = draw(9, 5, seed=2)
    old, new = (lambda states, rows=rows: states @ weight[:rows].T for rows in (7, 9))
    h, c = trace(draw(1, 1, 1, 5), [[1]]), anchors(draw(1, 1, 1, 5, seed=1), [[1]])
    envs = [Env(head=head, frozen_head=lambda: old) for head in (new, old)]
    assert torch.equal(*(aligner(kind, env, space="vocab").loss(h, c) for env in envs))


@BOTH
def test_anchors_are_read_in_the_type_of_the_head(kind: str) -> None:
    """They are stored wider than a head in bfloat16 can read."""
    head = torch.nn.Linear(5, 7, bias=False).requires_grad_(False)
    head.weight.copy_(draw(7, 5, seed=2))
    head.bfloat16()
    h, c = draw(1, 1, 1, 5).bfloat16(), draw(1, 1, 1, 5, seed=1)
    found = aligner(kind, Env(head=head), space="vocab").loss(trace(h, [[1]]), anchors(c, [[1]]))
    expected = distances.bikl(head(h[0, 0, 0]), head(c[0, 0, 0].bfloat16()))
    assert torch.equal(found[0, 0], expected)


def test_ce_is_the_cross_entropy_with_the_likeliest_coordinate() -> None:
    """softmax of (log 1, log 2, log 5) is (1, 2, 5) / 8; the second vector is largest at the middle one."""
    a, b = torch.tensor([1.0, 2.0, 5.0]).log(), torch.tensor([-1.0, 0.5, 0.4])
    assert float(distances.ce(a, b)) == pytest.approx(math.log(4), rel=1e-6)
    stacked = distances.ce(torch.stack([a, b])[None], torch.stack([b, a])[None])
    assert stacked.shape == (1, 2)
    expected = scipy_stats.entropy([0, 0, 1], special.softmax(b.numpy()))
    assert stacked[0].tolist() == pytest.approx([math.log(4), expected], rel=1e-6)
    assert distances.ce(a.bfloat16(), b.bfloat16()).dtype == torch.float32


@BOTH
def test_ce_compares_predictions_alone(kind: str) -> None:
    with pytest.raises(ValueError, match="distance ce compares predictions: it needs space 'vocab'"):
        aligner(kind, distance="ce")


@BOTH
def test_vocab_space_needs_a_head(kind: str) -> None:
    with pytest.raises(UserError, match=f"aligner {kind}: space 'vocab' needs the head"):
        aligner(kind, space="vocab")


@BOTH
@ALL
def test_what_is_masked_does_not_matter(kind: str, name: str) -> None:
    """Not even if it is not a number; and it gets no gradient."""
    depth, count = [[2, 0, 3], [1, 2, 1]], [[2, 3, 1], [3, 0, 1]]
    h, c = draw(2, 3, 4, 5), draw(2, 3, 3, 5, seed=1)
    clean = aligner(kind, distance=name).loss(trace(h, depth), anchors(c, count))
    mask = trace(h, depth).mask
    spoilt = h.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    spoilt_anchors = c.masked_fill(~anchors(c, count).mask[..., None], torch.inf)
    found = aligner(kind, distance=name).loss(trace(spoilt, depth), anchors(spoilt_anchors, count))
    assert torch.equal(found, clean)
    (gradient,) = torch.autograd.grad(found.sum(), spoilt)
    assert torch.isfinite(gradient).all()
    assert (gradient[~mask] == 0).all()


@BOTH
def test_gradients_stop_at_the_anchors(kind: str) -> None:
    h, c = draw(1, 1, 2, 5).requires_grad_(), draw(1, 1, 2, 5, seed=1).requires_grad_()
    aligner(kind).loss(trace(h, [[2]]), anchors(c, [[2]])).sum().backward()
    assert c.grad is None
    assert h.grad is not None
    assert (h.grad[0, 0, 1] != 0).all()
    assert (h.grad[0, 0, 0] != 0).all() == (kind == "stepwise")


@BOTH
def test_bfloat16_states_give_a_float32_loss(kind: str) -> None:
    h, c = draw(1, 1, 2, 5).bfloat16(), draw(1, 1, 2, 5, seed=1).half()
    found = aligner(kind).loss(trace(h, [[2]]), anchors(c, [[2]]))
    assert found.dtype == torch.float32
    assert torch.equal(found, aligner(kind).loss(trace(h.float(), [[2]]), anchors(c.float(), [[2]])))


def test_none_is_zero() -> None:
    none = NoAlign(NoAlignConfig(use="none"), Env())
    found = none.loss(trace(draw(2, 3, 1, 5), [[1] * 3] * 2), anchors(draw(2, 3, 1, 5), [[1] * 3] * 2))
    assert torch.equal(found, torch.zeros(2, 3))
    assert all(isinstance(x, Aligner) for x in (none, aligner("stepwise"), aligner("terminal")))
