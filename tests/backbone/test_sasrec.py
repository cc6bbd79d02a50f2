"""SASRec against its equations, written out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, relu

from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Env
from lasar_plugins.backbone.sasrec.backbone import SasRec
from lasar_plugins.backbone.sasrec.config import SasRecConfig
from lasar_plugins.backbone.sasrec.layers import Layer

TOKENS = ("<a_0>", "<a_1>", "<a_2>")


def model(**options: object) -> SasRec:
    config = SasRecConfig.model_validate(
        {"use": "sasrec", "hidden_size": 8, "heads": 2, "initializer_std": 0.5, **options}
    )
    return SasRec(config, Env(seed=3, vocabulary=TOKENS)).double().eval()


def norm(x: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
    return layer_norm(x, x.shape[-1:], layer.weight, layer.bias, 1e-12)


def attention(layer: Layer, x: Tensor) -> Tensor:
    """Head by head, query by query."""
    query, key, value = layer.qkv(x).chunk(3, dim=-1)
    rows = []
    for q in range(len(x)):
        heads = []
        for h in range(2):
            part = slice(4 * h, 4 * h + 4)
            scores = torch.stack([query[q, part] @ key[k, part] / math.sqrt(4) for k in range(q + 1)])
            heads.append(scores.softmax(0) @ value[: q + 1, part])
        rows.append(torch.cat(heads))
    mixed: Tensor = layer.out(torch.stack(rows))
    return mixed


def by_hand(net: SasRec, ids: list[int]) -> Tensor:
    """The states of one sequence."""
    pre, act = net.config.norm == "pre", gelu if net.config.activation == "gelu" else relu
    x = net.table[ids] + net.positions[: len(ids)]
    x = x if pre else norm(x, net.norm)
    for layer in net.layers:
        assert isinstance(layer, Layer)
        x = x + attention(layer, norm(x, layer.attention_norm) if pre else x)
        x = x if pre else norm(x, layer.attention_norm)
        x = x + layer.down(act(layer.up(norm(x, layer.mlp_norm) if pre else x)))
        x = x if pre else norm(x, layer.mlp_norm)
    return norm(x, net.norm) if pre else x


@pytest.mark.parametrize(("place", "activation"), [("post", "gelu"), ("pre", "relu")])
def test_states_are_those_of_the_equations(place: str, activation: str) -> None:
    net, ids = model(norm=place, activation=activation), [[0, 1, 3, 4], [1, 5, 5, 3]]
    real = torch.tensor([[False, True, True, True], [True] * 4])
    states, _ = net.advance(net.embed(torch.tensor(ids)), chain_parents(real), None)
    torch.testing.assert_close(states[0, 1:], by_hand(net, ids[0][1:]), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(states[1], by_hand(net, ids[1]), rtol=1e-10, atol=1e-10)
    logits = net.logits(states)
    torch.testing.assert_close(logits[1, 2, 4], states[1, 2] @ net.table[4], rtol=1e-10, atol=1e-10)


def test_a_checkpoint_is_restored_and_takes_more_tokens(tmp_path: Path) -> None:
    config = SasRecConfig(use="sasrec", hidden_size=8)
    net = SasRec(config, Env(seed=3, vocabulary=TOKENS))
    net.save(tmp_path)
    more = SasRec(config, Env(seed=4, vocabulary=(*TOKENS, "<think>"), checkpoint=tmp_path))
    assert torch.equal(more.table[: len(net.table)], net.table)
    assert torch.equal(more.positions, net.positions)
    assert more.tokenizer.convert_tokens_to_ids("<think>") == len(net.table) == len(more.table) - 1
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["pad_token"] == "<pad>"
