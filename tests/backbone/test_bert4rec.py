"""BERT4Rec against its equations, written out: heads and queries one by one."""

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
from lasar_plugins.backbone.bert4rec.backbone import Bert4Rec
from lasar_plugins.backbone.bert4rec.config import Bert4RecConfig
from tests.backbone.reading import behind, prompts

TOKENS = ("<a_0>", "<a_1>", "<a_2>")
MASK = -1


def model(env: Env | None = None) -> Bert4Rec:
    options = {"use": "bert4rec", "hidden_size": 8, "max_positions": 6, "initializer_std": 0.5}
    net = Bert4Rec(Bert4RecConfig.model_validate(options), env or Env(seed=3, vocabulary=TOKENS))
    net.double().eval()
    if env is None:
        with torch.no_grad():
            for weight in (weight for weight in net.parameters() if weight.ndim == 1):
                weight.add_(torch.linspace(-0.3, 0.4, len(weight)))
    return net


def norm(x: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
    return layer_norm(x, x.shape[-1:], layer.weight, layer.bias, 1e-12)


def attention(layer: torch.nn.TransformerEncoderLayer, x: Tensor) -> Tensor:
    own = layer.self_attn
    assert own.in_proj_weight is not None
    query, key, value = (x @ own.in_proj_weight.T + own.in_proj_bias).chunk(3, dim=-1)
    rows = []
    for q in range(len(x)):
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = torch.stack([query[q, part] @ key[k, part] / math.sqrt(4) for k in range(len(x))])
            heads.append(scores.softmax(0) @ value[:, part])
        rows.append(torch.cat(heads))
    mixed: Tensor = own.out_proj(torch.stack(rows))
    return mixed


def by_hand(net: Bert4Rec, ids: list[int]) -> Tensor:
    """The states of a sequence, `MASK` standing for a masked token (Eqs. 1 to 6)."""
    x = torch.stack([net.mask[0] if token == MASK else net.table[token] for token in ids])
    x = norm(x + net.positions[: len(ids)], net.norm)
    for layer in net.layers:
        assert isinstance(layer, torch.nn.TransformerEncoderLayer)
        x = norm(x + attention(layer, x), layer.norm1)
        x = norm(x + layer.linear2(gelu(layer.linear1(x))), layer.norm2)
    return x


def test_a_prompt_answers_by_the_state_of_a_mask_behind_it() -> None:
    net, rows = model(), [[3, 4, 3], [5, 3, 4, 5, 4], [4]]
    read = net.read_prompts(prompts(rows))
    for place, row in enumerate(rows):
        expected = by_hand(net, [*row, MASK])
        torch.testing.assert_close(read.h0[place, 0], expected[-1], rtol=1e-7, atol=1e-7)
        states = read.states[place, read.mask[place, 0]]
        torch.testing.assert_close(states[:-1], expected[:-2], rtol=1e-7, atol=1e-7)


def test_a_prompt_is_read_as_the_tree_reads_its_chain() -> None:
    """And what comes behind it goes on from there."""
    net = model()
    states = behind(net, [[3, 4], [5, 3, 4]], 5)
    torch.testing.assert_close(states[0], by_hand(net, [3, 4, 5, MASK])[-1], rtol=1e-7, atol=1e-7)


def test_gaps_are_filled_from_both_sides() -> None:
    """What is masked or not real is not felt, wherever it stands."""
    net = model()
    ids = torch.tensor([[0, 3, 4, 5, 3], [4, 4, 3, 5, 5]])
    real = torch.tensor([[False, True, True, True, True], [True, True, True, True, False]])
    masked = torch.tensor([[False, False, True, False, True], [True, False, False, False, False]])
    states = net.fill(ids, real, masked)
    torch.testing.assert_close(states[0, 1:], by_hand(net, [3, MASK, 5, MASK]), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(states[1, :4], by_hand(net, [MASK, 4, 3, 5]), rtol=1e-7, atol=1e-7)


def test_logits_are_products_of_the_projection_and_a_bias() -> None:
    """Eq. 7."""
    net, states = model(), torch.randn(2, 8, generator=torch.Generator().manual_seed(0)).double()
    for state, logits in zip(states, net.logits(states), strict=True):
        projected = norm(gelu(net.project.weight @ state + net.project.bias), net.output_norm)
        for token in range(len(net.table)):
            torch.testing.assert_close(logits[token], projected @ net.table[token] + net.bias[token])


def test_dropout_is_that_of_its_options_and_of_training_alone() -> None:
    net = model()
    assert [layer.self_attn.dropout for layer in net.layers] == [0.2, 0.2]  # type: ignore[union-attr]
    asked = prompts([[3, 4]])
    assert torch.equal(net.read_prompts(asked).h0, net.read_prompts(asked).h0)
    net.train()
    assert not torch.equal(net.read_prompts(asked).h0, net.read_prompts(asked).h0)


def test_a_checkpoint_with_fewer_tokens_is_taken_over(tmp_path: Path) -> None:
    net = model()
    net.save(tmp_path)
    more = model(Env(seed=4, vocabulary=(*TOKENS, "<a_3>"), checkpoint=tmp_path))
    assert len(more.bias) == len(net.bias) + 1
    torch.testing.assert_close(more.bias[:-1], net.bias)
    assert float(more.bias[-1].detach()) == 0


def test_a_prompt_longer_than_the_positions_is_refused() -> None:
    with pytest.raises(UserError, match="6 tokens and a mask are more than the 6 positions of the model"):
        model().read_prompts(prompts([[3] * 6]))


@pytest.mark.parametrize(
    ("backbone", "stage", "told"),
    [
        ("bert4rec", "samples: packed", "packed reads many prompts in one pass, and bert4rec cannot"),
        ("sasrec", "objectives: [{objective: cloze}]", "cloze masks places that sasrec cannot read around"),
        (
            "bert4rec",
            "latent_loop: coconut, objectives: [{objective: cloze}]",
            "cloze trains answers without thoughts, so coconut would learn nothing; set 'latent_loop: none'",
        ),
        ("bert4rec", "text: {weight: 1}", "trains words, and backbone bert4rec has none"),
    ],
)
def test_what_it_cannot_do_is_refused(tmp_path: Path, backbone: str, stage: str, told: str) -> None:
    stages = f"{{tokenize: {{use: tokenize, quantizer: item_id}}, t: {{use: sft, {stage}}}}}"
    (tmp_path / "spec.yaml").write_text(f"backbone: {backbone}\nstages: {stages}\n")
    with pytest.raises(UserError, match=told):
        load_spec(tmp_path / "spec.yaml", (), Catalogue.discover())
