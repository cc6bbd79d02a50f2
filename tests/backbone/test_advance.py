"""`Qwen3Backbone.advance` against plain forwards of the model, one a path and without a cache."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone, TreeContext
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from tests.closeness import assert_same

Tiny = Callable[[str], Qwen3Backbone]
ATTENTION = pytest.mark.parametrize("attention", ["sdpa", "eager"])


def path_to(parents: list[int], node: int) -> list[int]:
    """The nodes from the root to `node`."""
    return [*(path_to(parents, parents[node]) if parents[node] >= 0 else []), node]


def by_path(backbone: Qwen3Backbone, inputs: Tensor, parents: list[list[int]]) -> Tensor:
    """States of all nodes, each from a forward over its own path."""
    rows = []
    for b, row in enumerate(parents):
        paths = [inputs[b, path_to(row, node)][None] for node in range(len(row))]
        rows.append(
            [backbone.model.model(inputs_embeds=x, use_cache=False).last_hidden_state[0, -1] for x in paths]
        )
    return torch.stack([torch.stack(states) for states in rows])


def in_calls(backbone: Qwen3Backbone, inputs: Tensor, parents: list[list[int]], cuts: list[int]) -> Tensor:
    """States of all nodes, read in several calls."""
    context: TreeContext | None = None
    states, begin = [], 0
    for end in cuts:
        parent = torch.tensor([row[begin:end] for row in parents])
        hidden, context = backbone.advance(inputs[:, begin:end], parent, context)
        states.append(hidden)
        begin = end
    return torch.cat(states, dim=1)


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[list[int]], list[int], int]:
    """Parents of two rows, often a padded chain first, the calls' ends, and a seed of inputs."""
    nodes, chain = draw(st.integers(1, 9)), draw(st.integers(0, 5))
    chain = min(chain, nodes)
    parents = []
    for _ in range(2):
        pads = draw(st.integers(0, max(chain - 1, 0)))
        head = [-1 if node <= pads else node - 1 for node in range(chain)]
        parents.append(head + [draw(st.integers(-1, node - 1)) for node in range(chain, nodes)])
    cuts = draw(st.sets(st.integers(1, nodes), max_size=3))
    return parents, sorted({*cuts, nodes}), draw(st.integers(0, 99))


def random_inputs(rows: int, nodes: int, seed: int) -> Tensor:
    return torch.randn(rows, nodes, 16, generator=torch.Generator().manual_seed(seed))


@ATTENTION
@settings(max_examples=25)
@given(case=trees())
def test_states_are_those_of_each_path_alone(
    double: Tiny, attention: str, case: tuple[list[list[int]], list[int], int]
) -> None:
    parents, cuts, seed = case
    inputs = random_inputs(2, len(parents[0]), seed).double()
    with torch.no_grad():
        expected = by_path(double(attention), inputs, parents)
        assert_same(in_calls(double(attention), inputs, parents, cuts), expected)


@ATTENTION
def test_past_is_left_as_it_was_and_may_be_advanced_again(tiny: Tiny, attention: str) -> None:
    backbone, inputs = tiny(attention), random_inputs(2, 8, 0)
    parent = chain_parents(torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]]).bool())
    with torch.no_grad():
        _, past = backbone.advance(inputs[:, :4], parent, None)
        before = [x.clone() for pair in past.layers for x in pair]
        branch = torch.tensor([[3, 3, 4, 2]] * 2)
        first, grown = backbone.advance(inputs[:, 4:], branch, past)
        again, _ = backbone.advance(inputs[:, 4:], branch, past)
    assert past.length == 4
    assert grown.length == 8
    assert torch.equal(first, again)
    assert all(
        torch.equal(a, b) for a, b in zip(before, (x for pair in past.layers for x in pair), strict=True)
    )


@ATTENTION
def test_gradients_equal_those_of_recomputation(double: Tiny, attention: str) -> None:
    backbone = double(attention).train()  # no dropout is set, so training computes the same
    parents = [[-1, -1, 1, 2, 3, 3, 5, 2], [-1, 0, 1, 2, 3, 4, 2, 6]]
    weights = random_inputs(2, 8, 5)
    gradients = []
    for states in (
        lambda x: by_path(backbone, x, parents),
        lambda x: in_calls(backbone, x, parents, [4, 6, 8]),
    ):
        inputs = random_inputs(2, 8, 4).double().requires_grad_()
        loss = (states(inputs) * weights).sum()
        gradients.append(torch.autograd.grad(loss, [inputs, *backbone.model.model.layers.parameters()]))
    backbone.eval()
    for computed, cached in zip(*gradients, strict=True):
        assert_same(cached, computed)


def test_causal_first_call_takes_no_explicit_mask(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, seen = tiny("sdpa"), []
    attention = torch.nn.functional.scaled_dot_product_attention

    def spy(*args: Tensor, **options: object) -> Tensor:
        seen.append((options.get("attn_mask"), options.get("is_causal")))
        return attention(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    backbone.advance(random_inputs(2, 4, 0), chain_parents(torch.ones(2, 4).bool()), None)
    assert seen == [(None, True)] * 2


def test_embedding_dropout_acts_in_training_alone() -> None:
    config = Qwen3Config(use="qwen3", hidden_size=64, layers=1, text_vocabulary=259, embedding_dropout=0.5)
    backbone, ids = Qwen3Backbone(config, Env()), torch.arange(100)
    table = backbone.model.get_input_embeddings().weight
    assert torch.equal(backbone.eval().embed(ids), table[:100])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = backbone.train().embed(ids)
    kept = dropped != 0
    assert 0.45 < kept.float().mean() < 0.55
    torch.testing.assert_close(dropped[kept], 2 * table[:100][kept])


@pytest.mark.parametrize("map_of", ["self_attn.o_proj", "mlp.down_proj"])
def test_residual_dropout_acts_in_training_alone_on_what_is_added(map_of: str) -> None:
    sizes = {"hidden_size": 16, "layers": 1, "heads": 2, "text_vocabulary": 259, "initializer_std": 0.3}
    backbone = Qwen3Backbone(Qwen3Config(use="qwen3", **sizes, residual_dropout=0.5), Env())
    seen: dict[str, Tensor] = {}
    last = backbone.model.base_model.layers[0].get_submodule(map_of)
    last.register_forward_hook(lambda module, inputs, output: seen.update(given=inputs[0], kept=output))
    inputs, parent = random_inputs(8, 40, 0), chain_parents(torch.ones(8, 40).bool())
    copied = copy.deepcopy(backbone).eval()
    whole = Qwen3Backbone(Qwen3Config(use="qwen3", **sizes), Env()).eval().advance(inputs, parent, None)[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone.train().advance(inputs, parent, None)
    expected = seen["given"] @ last.weight.T
    kept = seen["kept"] != 0
    assert 0.45 < kept.float().mean() < 0.55
    torch.testing.assert_close(seen["kept"][kept], 2 * expected[kept])
    for still in (backbone.eval(), copied):
        assert torch.equal(still.advance(inputs, parent, None)[0], whole)


def test_bfloat16_follows_float32(tiny: Tiny) -> None:
    narrow = Qwen3Backbone(
        Qwen3Config(
            use="qwen3", hidden_size=16, layers=2, heads=4, kv_heads=2, text_vocabulary=259, dtype="bfloat16"
        ),
        Env(),
    ).eval()
    wide = Qwen3Backbone(
        Qwen3Config(use="qwen3", hidden_size=16, layers=2, heads=4, kv_heads=2, text_vocabulary=259), Env()
    ).eval()
    parents, inputs = [[-1, -1, 1, 2, 3, 3]], random_inputs(1, 6, 0)
    with torch.no_grad():
        states = in_calls(narrow, inputs.bfloat16(), parents, [4, 6])
        expected = in_calls(wide, inputs, parents, [4, 6])
    assert states.dtype == torch.bfloat16
    assert narrow.logits(states).dtype == torch.bfloat16
    torch.testing.assert_close(states.float(), expected, atol=0.1, rtol=0.1)
