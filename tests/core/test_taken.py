"""The log-probability of one token among many, some rows at a time: its definition, and its plain form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lasar_kit.core import taken as module
from lasar_kit.core.taken import plainly, taken

HEATS = [None, torch.ones(23), torch.linspace(0.2, 4, 23)]


def differentiated(form: object, dtype: torch.dtype, heat: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Values, and the gradients of states and of a head, of 23 rows over 301 tokens."""
    generator = torch.Generator().manual_seed(1)
    states, head = torch.randn(23, 8, generator=generator), torch.randn(301, 8, generator=generator)
    index = torch.randint(0, 301, (23, 1), generator=generator)
    slope = torch.randn(23, 1, generator=generator)
    states, head = states.to(dtype).requires_grad_(), head.to(dtype).requires_grad_()
    found = form(states @ head.T, index, heat)  # type: ignore[operator]
    (found * slope).sum().backward()
    assert states.grad is not None
    assert head.grad is not None
    return found.detach(), states.grad, head.grad


@pytest.mark.parametrize("heat", HEATS, ids=["none", "ones", "some"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cached", [1, 301 * 7, 10**6])
def test_a_few_rows_at_a_time_are_the_bits_of_all_at_once(
    monkeypatch: pytest.MonkeyPatch, cached: int, dtype: torch.dtype, heat: Tensor | None
) -> None:
    monkeypatch.setattr(module, "CACHED", cached)
    for one, other in zip(
        differentiated(taken, dtype, heat), differentiated(plainly, dtype, heat), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("heat", HEATS[1:], ids=["ones", "some"])
def test_it_is_the_softmax_of_logits_over_their_temperature(heat: Tensor) -> None:
    """By the definition, in twice the precision; the gradient by central differences."""
    generator = torch.Generator().manual_seed(2)
    logits, index = torch.randn(23, 9, generator=generator), torch.arange(23)[:, None] % 9

    def defined(wide: Tensor) -> Tensor:
        powers = (wide / heat[:, None].double()).exp()
        return (powers.gather(-1, index) / powers.sum(-1, keepdim=True)).log()

    leaf = logits.clone().requires_grad_()
    found = taken(leaf, index, heat)
    torch.testing.assert_close(found.double(), defined(logits.double()), rtol=1e-5, atol=1e-6)
    found.sum().backward()
    for column in range(9):
        nudge = torch.zeros(23, 9, dtype=torch.float64)
        nudge[:, column] = 1e-5
        slope = (defined(logits.double() + nudge) - defined(logits.double() - nudge)) / 2e-5
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad[:, column].double(), slope[:, 0], rtol=1e-4, atol=1e-5)


def test_a_temperature_that_is_learned_has_its_gradient() -> None:
    logits, index = (
        torch.randn(3, 5, generator=torch.Generator().manual_seed(3)),
        torch.tensor([[0], [4], [2]]),
    )
    heats = [torch.full((3,), 0.7, requires_grad=True) for _ in range(2)]
    taken(logits, index, heats[0]).sum().backward()
    (logits / heats[1][:, None]).log_softmax(-1).gather(-1, index).sum().backward()
    assert heats[0].grad is not None
    assert heats[1].grad is not None
    torch.testing.assert_close(heats[0].grad, heats[1].grad)


def test_no_more_is_kept_than_logits_and_a_number_a_row() -> None:
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel() * tensor.is_floating_point())
        return tensor

    logits = torch.randn(23, 301, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        taken(logits, torch.zeros(23, 1, dtype=torch.long), torch.ones(23))
    assert sum(kept) == 23 * 301 + 23 + 23
