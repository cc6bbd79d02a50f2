"""GRU4Rec against its equations, gate by gate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env
from lasar_plugins.backbone.gru4rec.backbone import Gru4Rec
from lasar_plugins.backbone.gru4rec.config import Gru4RecConfig

TOKENS = ("<a_0>", "<a_1>", "<a_2>")


def model(layers: int, dropout: float = 0.5) -> Gru4Rec:
    options = {
        "hidden_size": 4,
        "state_size": 3,
        "layers": layers,
        "initializer_std": 0.5,
        "dropout": dropout,
    }
    net = Gru4Rec(Gru4RecConfig.model_validate({"use": "gru4rec", **options}), Env(seed=3, vocabulary=TOKENS))
    with torch.no_grad():
        for weight in net.parameters():
            if weight.ndim == 1:
                weight.copy_(torch.linspace(-0.5, 0.5, len(weight)))
    return net.double().eval()


def by_hand(net: Gru4Rec, ids: list[int]) -> Tensor:
    """The states of one sequence: reset, update and candidate of each layer in turn."""
    inputs = [net.table[i] for i in ids]
    for cell in net.cells:
        h, states = torch.zeros(3).double(), []
        for x in inputs:
            of_x = (cell.weight_ih_l0 @ x + cell.bias_ih_l0).chunk(3)
            of_h = (cell.weight_hh_l0 @ h + cell.bias_hh_l0).chunk(3)
            reset, update = (of_x[0] + of_h[0]).sigmoid(), (of_x[1] + of_h[1]).sigmoid()
            h = (1 - update) * (of_x[2] + reset * of_h[2]).tanh() + update * h
            states.append(h)
        inputs = states
    out: Tensor = net.out(torch.stack(inputs))
    return out


@pytest.mark.parametrize("layers", [1, 2])
def test_states_are_those_of_the_equations(layers: int) -> None:
    net, ids = model(layers), torch.tensor([[0, 1, 3, 4], [1, 5, 5, 3]])
    real = torch.tensor([[False, True, True, True], [True] * 4])
    states, context = net.advance(net.embed(ids), chain_parents(real), None)
    torch.testing.assert_close(states[0, 1:], by_hand(net, [1, 3, 4]))
    torch.testing.assert_close(states[1], by_hand(net, [1, 5, 5, 3]))
    # A branch of two off the second token, in one call with a root of its own.
    more, _ = net.advance(
        net.embed(torch.tensor([[4, 5, 3]] * 2)), torch.tensor([[2, 4, -1], [1, 4, -1]]), context
    )
    torch.testing.assert_close(more[0, :2], by_hand(net, [1, 3, 4, 5])[2:])
    torch.testing.assert_close(more[1, :2], by_hand(net, [1, 5, 4, 5])[2:])
    torch.testing.assert_close(more[:, 2], by_hand(net, [3]).expand(2, -1))


def test_dropout_is_of_inputs_and_between_layers() -> None:
    """Without it a model in training reads as one in evaluation; with it, anew each time."""
    ids, parent = torch.tensor([[3, 4]]), torch.tensor([[-1, 0]])
    for dropout, same in ((0.0, True), (0.5, False)):
        net = model(2, dropout)
        evaluated = net.advance(net.embed(ids), parent, None)[0]
        trained = net.train().advance(net.embed(ids), parent, None)[0]
        assert torch.equal(evaluated, trained) == same


@pytest.mark.parametrize(("precision", "tf32"), [("highest", False), ("high", True)])
def test_tf32_of_the_recurrence_is_that_of_products(precision: str, tf32: bool) -> None:
    """cuDNN allows itself TF32 where products of matrices are promised in float32."""
    net, seen = model(layers=1), []
    net.cells[0].register_forward_pre_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(precision)
    try:
        net.advance(net.embed(torch.tensor([[3, 4]])), torch.tensor([[-1, 0]]), None)
    finally:
        torch.set_float32_matmul_precision(before[0])
    assert seen == [tf32]
    assert torch.backends.cudnn.allow_tf32 == before[1]
