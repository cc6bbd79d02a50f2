"""Reading without gradients, in place and with less around it, against transformers' own forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_plugins.backbone.hf_causal.room import SPARE, Room
from lasar_plugins.backbone.qwen3 import backbone as module
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone, TreeContext
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from tests.closeness import assert_same

Tiny = Callable[[str], Qwen3Backbone]


@contextmanager
def transformers_alone() -> Iterator[None]:
    """The lean way switched off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "applies", lambda model, inputs: False)
        yield


def noise(backbone: Qwen3Backbone, tokens: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = backbone.model.get_input_embeddings().weight
    return torch.randn(2, tokens, backbone.hidden_size, generator=generator).to(weight.dtype)


def begin(backbone: Qwen3Backbone) -> TreeContext:
    """Two rows of six tokens, one of them left-padded by two."""
    parent = torch.tensor([[-1, 0, 1, 2, 3, 4], [-1, -1, -1, 2, 3, 4]])
    _, context = backbone.advance(noise(backbone, 6), parent, None)
    return context


def keys_values(context: TreeContext) -> list[Tensor]:
    return [x.clone() for pair in context.layers for x in pair]


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_states_and_caches_are_those_of_transformers(double: Tiny, data: st.DataObject) -> None:
    """Random trees in random calls, read both ways; single tokens take a path of their own in attention."""
    backbone = double("sdpa")
    sizes = data.draw(st.lists(st.sampled_from([1, 1, 2, 5, 17]), min_size=1, max_size=5))
    with torch.no_grad():
        ours = theirs = begin(backbone)
        for call, size in enumerate(sizes):
            parents = [
                [data.draw(st.integers(3, ours.length + token - 1)) for token in range(size)]
                for _ in range(2)
            ]
            parent, inputs = torch.tensor(parents), noise(backbone, size, call + 1)
            state, ours = backbone.advance(inputs, parent, ours)
            with transformers_alone():
                expected, theirs = backbone.advance(inputs, parent, theirs)
            assert_same(state, expected)
            for our, their in zip(keys_values(ours), keys_values(theirs), strict=True):
                assert_same(our, their)


def test_a_context_continued_twice_gives_both_their_own(tiny: Tiny) -> None:
    backbone = tiny("sdpa")
    parent = torch.full((2, 1), 5)
    with torch.no_grad():
        _, past = backbone.advance(noise(backbone, 1), parent, begin(backbone))
        before = keys_values(past)
        one_state, one = backbone.advance(noise(backbone, 1, seed=1), parent + 1, past)
        held = keys_values(one)
        _, two = backbone.advance(noise(backbone, 3, seed=2), (parent + 1).expand(-1, 3), past)
        again, _ = backbone.advance(noise(backbone, 1, seed=1), parent + 1, past)
    assert same(keys_values(past), before)
    assert same(keys_values(one), held)
    assert not same([x[..., :8, :] for x in keys_values(two)], held)
    assert torch.equal(again, one_state)


def test_tokens_are_added_in_place_while_there_is_room(tiny: Tiny) -> None:
    backbone = tiny("sdpa")
    with torch.no_grad():
        contexts = [begin(backbone)]
        for _ in range(SPARE + 3):
            last = contexts[-1]
            contexts.append(backbone.advance(noise(backbone, 1), torch.full((2, 1), 5), last)[1])
    assert contexts[0].room is None
    rooms = [context.room for context in contexts[1:]]
    assert all(room is rooms[0] for room in rooms[: SPARE + 1])
    assert rooms[SPARE + 1] is not rooms[0]
    assert rooms[0] is not None
    assert rooms[0].used == rooms[0].data.shape[-2] == 7 + SPARE


def test_many_tokens_are_read_among_places_that_nobody_sees(double: Tiny) -> None:
    """Keys up to a multiple, whatever stands behind the context; the context is as long as it was, and where
    the room ends before that multiple it is not passed."""
    backbone, parent, inputs = double("sdpa"), torch.full((2, 20), 5), noise(double("sdpa"), 20, seed=3)
    with torch.no_grad():
        _, past = backbone.advance(noise(backbone, 1), torch.full((2, 1), 5), begin(backbone))
        with transformers_alone():
            expected, theirs = backbone.advance(inputs, parent, past)
        assert past.room is not None
        for size in (past.room.data.shape[-2], past.length + 20):
            data = past.room.data[..., :size, :].clone()
            data[..., past.length :, :] = float("nan")
            room = Room(data, past.length)
            state, context = backbone.advance(inputs, parent, replace(past, room=room))
            assert_same(state, expected)
            assert context.length == room.used == past.length + 20
            for our, their in zip(keys_values(context), keys_values(theirs), strict=True):
                assert_same(our, their)
            mask = torch.zeros(2, 1, 20, room.used)
            wide = room.even(mask, context.layers)[0].shape[-1]
            assert wide == (32 if size > 32 else 27)


def test_a_context_from_inference_mode_goes_on_outside_it(double: Tiny) -> None:
    backbone = double("sdpa")
    parent = torch.full((2, 1), 5)
    with torch.inference_mode():
        _, context = backbone.advance(noise(backbone, 1), parent, begin(backbone))
        expected, _ = backbone.advance(noise(backbone, 1), parent, context)
    with torch.inference_mode():
        _, context = backbone.advance(noise(backbone, 1), parent, begin(backbone))
    with torch.no_grad():
        state, _ = backbone.advance(noise(backbone, 1), parent, context)
    assert_same(state, expected)


def test_gradients_take_the_way_that_has_them(double: Tiny) -> None:
    """A prompt read without gradients may be continued with them, and the other way round."""
    backbone = double("sdpa")
    parent, inputs = torch.full((2, 1), 5), noise(backbone, 1).requires_grad_()
    with torch.no_grad():
        _, context = backbone.advance(noise(backbone, 1, seed=1), parent, begin(backbone))
    state, grown = backbone.advance(inputs, parent + 1, context)
    assert grown.room is None
    with torch.no_grad():
        backbone.advance(noise(backbone, 2, seed=2), parent.expand(-1, 2), context)
        backbone.advance(noise(backbone, 2, seed=3), parent.expand(-1, 2), grown)
    (gradient,) = torch.autograd.grad(state.square().sum(), inputs)
    with transformers_alone():
        _, context = backbone.advance(noise(backbone, 1, seed=1), parent, begin(backbone))
        expected, _ = backbone.advance(inputs, parent + 1, context)
        (wanted,) = torch.autograd.grad(expected.square().sum(), inputs)
    assert_same(gradient, wanted)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_half_precision_rounds_where_transformers_does(dtype: str) -> None:
    sizes = {"hidden_size": 16, "layers": 2, "heads": 4, "kv_heads": 2, "text_vocabulary": 259}
    config = Qwen3Config.model_validate({"use": "qwen3", **sizes, "initializer_std": 0.3, "dtype": dtype})
    backbone = Qwen3Backbone(config, Env(seed=3, vocabulary=(*sid_tokens((4, 4)), *LATENT_TOKENS))).eval()
    for layer in backbone.model.model.layers:  # norms whose weights are not all 1
        torch.nn.init.uniform_(layer.self_attn.k_norm.weight, 0.5, 2, torch.Generator().manual_seed(1))
        torch.nn.init.uniform_(layer.input_layernorm.weight, 0.5, 2, torch.Generator().manual_seed(2))
    parent = torch.tensor([[5, 6, 6], [5, 6, 6]])
    with torch.no_grad():
        state, _ = backbone.advance(noise(backbone, 3), parent, begin(backbone))
        with transformers_alone():
            expected, _ = backbone.advance(noise(backbone, 3), parent, begin(backbone))
    assert torch.equal(state, expected)


@pytest.mark.parametrize("case", ["gradients", "training", "eager", "autocast"])
def test_what_only_transformers_does_is_left_to_it(tiny: Tiny, case: str) -> None:
    backbone = tiny("eager" if case == "eager" else "sdpa")
    inputs = noise(backbone, 1)
    with torch.set_grad_enabled(case == "gradients"):
        backbone.train(case == "training")
        try:
            with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
                assert not module.applies(backbone.model, inputs)
        finally:
            backbone.eval()
    with torch.no_grad():
        assert module.applies(tiny("sdpa").model, inputs)
