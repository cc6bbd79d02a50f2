"""Packed maps of a Qwen3 against its own, and that they never outlive the weights they were made of."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP

from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.process.matmul import VARIABLE, pack, packs
from lasar_plugins.backbone.qwen3 import packed
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from lasar_plugins.backbone.qwen3.packed import OwnMaps, PackedMaps, maps_of

pytestmark = pytest.mark.skipif(not packs(), reason="this torch packs no weights")


def built(**options: object) -> Qwen3Backbone:
    sizes = {"hidden_size": 48, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate_size": 80}
    config = Qwen3Config.model_validate({"use": "qwen3", "text_vocabulary": 259, **sizes, **options})
    return Qwen3Backbone(config, Env(seed=3, vocabulary=(*sid_tokens((4, 4)), *LATENT_TOKENS))).eval()


@pytest.fixture
def backbone() -> Qwen3Backbone:
    return built()


def answers(backbone: Qwen3Backbone) -> Tensor:
    """States of a token behind a context of six, as a model that only answers gives them."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(2, 7, backbone.hidden_size, generator=generator)
    chain = torch.arange(-1, 5).expand(2, -1)
    with torch.inference_mode():
        _, context = backbone.advance(inputs[:, :6], chain, None)
        hidden, _ = backbone.advance(inputs[:, 6:], torch.full((2, 1), 5), context)
    return hidden.clone()


def whole(backbone: Qwen3Backbone) -> Tensor:
    """The same by the layers' own maps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "torch")
        return answers(backbone)


def is_packed(backbone: Qwen3Backbone) -> bool:
    with torch.inference_mode():
        return all(isinstance(maps, PackedMaps) for maps in maps_of(backbone.model.model))


@given(st.integers(1, 70), st.integers(0, 2**31))
def test_each_map_is_the_layers_own(rows: int, seed: int) -> None:
    """Up to rounding: sums of up to 80 products in another order."""
    model = built().model.model
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        for layer, maps in zip(model.layers, maps_of(model), strict=True):
            own = OwnMaps(layer)
            x = torch.randn(rows, 48, generator=generator)
            mixed = torch.randn(rows, layer.self_attn.o_proj.in_features, generator=generator)
            torch.testing.assert_close(maps.heads(x), own.heads(x), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(maps.out(mixed), own.out(mixed), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(maps.mlp(x), own.mlp(x), rtol=1e-5, atol=1e-6)


def test_what_answers_is_packed_once(backbone: Qwen3Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Tensor] = []

    def counted(weight: Tensor) -> Tensor:
        made.append(weight)
        return pack(weight)

    monkeypatch.setattr(packed, "pack", counted)
    assert torch.equal(answers(backbone), answers(backbone))
    assert len(made) == 2 * 4
    torch.testing.assert_close(answers(backbone), whole(backbone), rtol=1e-4, atol=1e-5)


def one_number(weight: nn.Parameter) -> None:
    with torch.no_grad():
        weight.flatten()[3] += 5


def past_the_count(weight: nn.Parameter) -> None:
    """As libraries do that swap averaged weights in."""
    weight.data.copy_(weight.data.roll(1, 1))


def other_memory(weight: nn.Parameter) -> None:
    weight.data = weight.data + 1


@pytest.mark.parametrize("name", packed._NAMES)
@pytest.mark.parametrize("change", [one_number, past_the_count, other_memory])
def test_other_weights_are_packed_anew(
    backbone: Qwen3Backbone, name: str, change: Callable[[nn.Parameter], None]
) -> None:
    before = answers(backbone)
    layer = backbone.model.model.layers[1]
    change(getattr(layer.self_attn if name in packed._NAMES[:4] else layer.mlp, name).weight)
    after = answers(backbone)
    assert is_packed(backbone)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, whole(backbone), rtol=1e-4, atol=1e-5)


def test_another_module_in_its_place_and_a_loaded_state(backbone: Qwen3Backbone) -> None:
    answers(backbone)
    layer = backbone.model.model.layers[0]
    layer.mlp.up_proj = nn.Linear(48, 80, bias=False)
    torch.testing.assert_close(answers(backbone), whole(backbone), rtol=1e-4, atol=1e-5)
    torch.manual_seed(0)
    backbone.load_state_dict({name: torch.randn_like(w) / 10 for name, w in backbone.state_dict().items()})
    torch.testing.assert_close(answers(backbone), whole(backbone), rtol=1e-4, atol=1e-5)


def test_a_copy_is_packed_by_its_own_weights(backbone: Qwen3Backbone) -> None:
    before = answers(backbone)
    twin = copy.deepcopy(backbone)
    past_the_count(twin.model.model.layers[0].mlp.down_proj.weight)
    assert not torch.equal(answers(twin), before)
    assert torch.equal(answers(backbone), before)


def hooked(backbone: Qwen3Backbone) -> None:
    backbone.model.model.layers[1].self_attn.v_proj.register_forward_hook(lambda module, inputs, output: None)


def watched(backbone: Qwen3Backbone) -> None:
    backbone.model.model.layers[1].mlp.register_forward_pre_hook(lambda module, inputs: None)


def biased(backbone: Qwen3Backbone) -> None:
    backbone.model.model.layers[0].self_attn.q_proj.bias = nn.Parameter(torch.ones(48))


def other_map(backbone: Qwen3Backbone) -> None:
    class Twice(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    backbone.model.model.layers[0].mlp.gate_proj = Twice(48, 80, bias=False)


def other_mlp(backbone: Qwen3Backbone) -> None:
    class Halved(Qwen3MLP):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.act_fn(x)

    backbone.model.model.layers[0].mlp.__class__ = Halved


def other_forward(backbone: Qwen3Backbone) -> None:
    """As libraries patch a module in place."""
    linear = backbone.model.model.layers[1].mlp.down_proj
    linear.forward = linear.forward


def double(backbone: Qwen3Backbone) -> None:
    backbone.double()


@pytest.mark.parametrize("change", [hooked, watched, biased, other_map, other_mlp, other_forward, double])
def test_what_is_no_plain_map_is_left_to_the_model(
    backbone: Qwen3Backbone, change: Callable[[Qwen3Backbone], None]
) -> None:
    assert is_packed(backbone)
    change(backbone)
    assert not is_packed(backbone)


def test_packed_only_where_nothing_asks_for_gradients(
    backbone: Qwen3Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        assert not any(isinstance(maps, PackedMaps) for maps in maps_of(backbone.model.model))
    assert is_packed(built(residual_dropout=0.1))
    monkeypatch.setattr(packed, "LARGEST", sum(w.numel() for w in backbone.parameters()))
    assert is_packed(backbone)
    monkeypatch.setattr(packed, "LARGEST", 1000)
    assert not is_packed(backbone)
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, "torch")
    assert not is_packed(backbone)


def test_weights_of_which_torch_counts_nothing_are_left_to_the_model() -> None:
    with torch.inference_mode():
        backbone = built()
    assert not is_packed(backbone)
