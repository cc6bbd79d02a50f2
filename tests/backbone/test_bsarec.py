"""BSARec against its equations, written out: transforms place by place, heads and queries one by one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec
from lasar_plugins.backbone.bsarec.backbone import BsaRec
from lasar_plugins.backbone.bsarec.config import BsaRecConfig
from lasar_plugins.backbone.bsarec.layers import Block, low_pass
from tests.backbone.reading import behind, prompts

TOKENS = ("<a_0>", "<a_1>", "<a_2>")
WINDOW = 6


def model(**options: object) -> BsaRec:
    config = BsaRecConfig.model_validate(
        {
            "use": "bsarec",
            "hidden_size": 8,
            "heads": 2,
            "c": 3,
            "alpha": 0.6,
            "window": WINDOW,
            "initializer_std": 0.5,
            **options,
        }
    )
    net = BsaRec(config, Env(seed=3, vocabulary=TOKENS)).double().eval()
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if weight.ndim == 1 and "sqrt_beta" not in name:
                weight.add_(torch.linspace(-0.3, 0.4, len(weight)))
    return net


def norm(x: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
    return layer_norm(x, x.shape[-1:], layer.weight, layer.bias, 1e-12)


def lowest(x: Tensor, kept: int) -> Tensor:
    """The `kept` lowest frequencies of a sequence, each the sum of its own waves."""
    length, low = len(x), torch.zeros_like(x)
    for k in range(kept):
        angle = 2 * math.pi * k * torch.arange(length) / length
        share = 1 if k in (0, length / 2) else 2
        for wave in (angle.cos(), angle.sin()):
            low += share / length * wave[:, None] * (wave[:, None] * x).sum(0)
    return low


def attention(layer: Block, x: Tensor, pads: int) -> Tensor:
    query, key, value = layer.qkv(x).chunk(3, dim=-1)
    rows = []
    for q in range(len(x)):
        seen = list(range(pads, q + 1)) or list(range(len(x)))  # a pad sees all alike
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = torch.stack([query[q, part] @ key[k, part] / math.sqrt(4) for k in seen])
            heads.append(scores.softmax(0) @ value[seen, part])
        rows.append(torch.cat(heads))
    mixed: Tensor = layer.out(torch.stack(rows))
    return mixed


def by_hand(net: BsaRec, ids: list[int]) -> Tensor:
    """The states of one window."""
    pads = WINDOW - len(ids)
    pad = net.table[0] if net.config.pads != "zero" else torch.zeros(8)
    x = torch.stack([pad] * pads + [net.table[i] for i in ids]).double() + net.positions
    x = norm(x, net.norm)
    for layer in net.blocks:
        assert isinstance(layer, Block)
        low = lowest(x, net.config.c // 2 + 1)
        filtered = norm(x + low + layer.filter.sqrt_beta**2 * (x - low), layer.filter.norm)
        x = 0.6 * filtered + 0.4 * norm(x + attention(layer, x, pads), layer.attention_norm)
        x = norm(x + layer.down(gelu(layer.up(x))), layer.mlp_norm)
    return x


@pytest.mark.parametrize("pads", ["output", "zero"])
def test_states_are_those_of_the_equations(pads: str) -> None:
    net, rows = model(pads=pads), [[3, 4, 3], [5, 3, 4, 5, 4], [4]]
    read = net.read_prompts(prompts(rows))
    for place, row in enumerate(rows):
        expected = by_hand(net, row)
        torch.testing.assert_close(read.h0[place, 0], expected[-1], rtol=1e-7, atol=1e-7)
        states = read.states[place, read.mask[place, 0]]
        torch.testing.assert_close(states, expected[-len(row) :], rtol=1e-7, atol=1e-7)


def test_a_prompt_is_read_as_the_tree_reads_its_chain() -> None:
    """And what comes behind it goes on from there."""
    net = model()
    states = behind(net, [[3, 4], [5, 3, 4]], 5)
    torch.testing.assert_close(states[0], by_hand(net, [3, 4, 5])[-1], rtol=1e-7, atol=1e-7)


def test_a_window_is_filtered_by_the_transform() -> None:
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(x, dim=0, norm="ortho")
    spectrum[2:] = 0
    torch.testing.assert_close(low_pass(7, 2) @ x, torch.fft.irfft(spectrum, n=7, dim=0, norm="ortho"))


@pytest.mark.parametrize(("pads", "learns"), [("output", False), ("trained", True), ("zero", False)])
def test_what_stands_in_the_pads_learns_as_it_is_told(pads: str, learns: bool) -> None:
    net = model(pads=pads)
    net.read_prompts(prompts([[3, 4]])).h0[..., 0].sum().backward()
    assert net.table.grad is not None
    assert bool(net.table.grad[0].any()) == learns
    assert net.table.grad[3].any()


def test_a_prompt_longer_than_the_window_is_refused() -> None:
    with pytest.raises(
        UserError, match="a sequence of 7 tokens is longer than the model's window of 6; lower"
    ):
        model().read_prompts(prompts([[3] * 7]))


def test_packed_training_is_refused(tmp_path: Path) -> None:
    stages = "{tokenize: {use: tokenize, quantizer: item_id}, t: {use: sft, samples: packed}}"
    (tmp_path / "spec.yaml").write_text(f"backbone: bsarec\nstages: {stages}\n")
    with pytest.raises(
        UserError, match="packed reads many prompts in one pass, and bsarec cannot; set 'sliding'"
    ):
        load_spec(tmp_path / "spec.yaml", (), Catalogue.discover())
