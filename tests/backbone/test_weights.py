"""Initial weights, tokenizer, added tokens, saving and loading of the Qwen3 backbone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.errors import UserError
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from lasar_plugins.backbone.qwen3.scratch import train_tokenizer
from tests.modules import Start

SIDS = tuple(sid_tokens((8, 8)))
SMALL = {"use": "qwen3", "hidden_size": 64, "layers": 2, "text_vocabulary": 280}


def corpus() -> list[str]:
    return ["shampoo for dry hair", "conditioner for dry hair", "dry shampoo"] * 3


def build(seed: int = 0, **options: object) -> Qwen3Backbone:
    return Qwen3Backbone(Qwen3Config(**{**SMALL, **options}), Env(seed=seed, vocabulary=SIDS, corpus=corpus))


def same(one: Qwen3Backbone, other: Qwen3Backbone) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_seed_decides_the_weights_and_the_global_generator_is_untouched() -> None:
    state = torch.get_rng_state()
    one = build(seed=1)
    torch.rand(3)
    assert same(one, build(seed=1))
    assert not same(one, build(seed=2))
    torch.set_rng_state(state)
    build(seed=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_initial_weights_have_the_std_asked_for() -> None:
    backbone = build(initializer_std=0.05)
    for name, weight in backbone.named_parameters():
        if weight.ndim > 1:
            assert 0.045 < float(weight.detach().std()) < 0.055, name
        else:
            assert bool((weight == 1).all()), name


def test_sizes_reach_the_model() -> None:
    config = build(
        heads=4, kv_heads=2, head_dim=8, intermediate_size=96, rope_theta=5e5, max_positions=77
    ).model.config
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (4, 2, 8)
    assert (config.intermediate_size, config.max_position_embeddings) == (96, 77)
    assert config.rope_parameters["rope_theta"] == 5e5


def test_tokenizer_learns_from_the_corpus_and_round_trips_text() -> None:
    tokenizer = build().tokenizer
    text = "dry shampoo, <a_1><b_7> für 3 €"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("dry shampoo")["input_ids"]) < len("dry shampoo") / 2
    assert tokenizer.convert_ids_to_tokens(tokenizer("<a_1><b_7>")["input_ids"]) == ["<a_1>", "<b_7>"]
    specials = [tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token]
    assert specials == ["<pad>", "<bos>", "<eos>"]
    assert tokenizer.padding_side == "left"


def test_tokenizer_without_a_corpus_knows_every_byte() -> None:
    tokenizer = Qwen3Backbone(Qwen3Config(**SMALL), Env()).tokenizer
    assert len(tokenizer) == 259
    ids = tokenizer("añ€")["input_ids"]
    assert len(ids) == 6
    assert tokenizer.decode(ids) == "añ€"


def test_tokenizer_is_the_same_in_another_process(tmp_path: Path, preloaded: Start) -> None:
    (tmp_path / "show.py").write_text(
        "from lasar_plugins.backbone.qwen3.scratch import train_tokenizer\n"
        f"print(train_tokenizer({corpus()!r}, 280, 64).backend_tokenizer.to_str())"
    )
    done = preloaded(tmp_path / "show.py")
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    own = train_tokenizer(corpus(), 280, 64)
    assert printed.strip() == own.backend_tokenizer.to_str()
    assert len(json.loads(printed)["model"]["vocab"]) == 280


@pytest.mark.parametrize("tied", [True, False])
def test_saved_backbone_is_restored_exactly_and_read_by_transformers(tmp_path: Path, tied: bool) -> None:
    backbone = build(seed=4, tied_embeddings=tied).eval()
    backbone.save(tmp_path)
    assert list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob("*.bin"))
    restored = Qwen3Backbone(Qwen3Config(**SMALL), Env(seed=9, vocabulary=SIDS, checkpoint=tmp_path)).eval()
    assert same(backbone, restored)
    assert restored.tokenizer.get_vocab() == backbone.tokenizer.get_vocab()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) == tied
    ids = torch.tensor([tokenizer("dry <a_0><b_3>")["input_ids"]])
    with torch.no_grad():
        hidden, _ = backbone.advance(backbone.embed(ids), torch.arange(-1, ids.shape[1] - 1)[None], None)
        torch.testing.assert_close(model(ids).logits, backbone.logits(hidden), atol=1e-5, rtol=1e-5)


def test_options_of_the_run_hold_for_a_restored_model(tmp_path: Path) -> None:
    build().save(tmp_path)
    config = Qwen3Config(**SMALL, attention="eager", attention_dropout=0.25, dtype="bfloat16")
    model = Qwen3Backbone(config, Env(checkpoint=tmp_path)).model
    assert model.config._attn_implementation == "eager"
    assert model.dtype == torch.bfloat16
    assert model.model.layers[0].self_attn.attention_dropout == 0.25


@pytest.mark.parametrize("tied", [True, False])
def test_tokens_are_added_once_and_old_rows_kept(tmp_path: Path, tied: bool) -> None:
    backbone = build(tied_embeddings=tied)
    backbone.save(tmp_path)
    env = Env(seed=1, vocabulary=(*SIDS, *LATENT_TOKENS), checkpoint=tmp_path)
    state = torch.get_rng_state()
    grown, again = (Qwen3Backbone(Qwen3Config(**SMALL), env) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert same(grown, again)
    assert len(grown.tokenizer) == len(backbone.tokenizer) + 3
    assert grown.tokenizer.convert_tokens_to_ids("<a_0>") == backbone.tokenizer.convert_tokens_to_ids("<a_0>")
    old, new = (b.model.get_input_embeddings().weight for b in (backbone, grown))
    assert torch.equal(new[: len(old)], old)
    assert 0.015 < float(new[len(old) :].detach().std()) < 0.025
    assert (grown.model.get_output_embeddings().weight is new) == tied
    assert grown.model.get_output_embeddings().weight.shape == new.shape


def test_new_rows_of_a_pretrained_model_lie_near_the_mean(tmp_path: Path) -> None:
    build(seed=2).save(tmp_path)
    config = Qwen3Config(use="qwen3", pretrained=str(tmp_path))
    backbone = Qwen3Backbone(config, Env(seed=5, vocabulary=(*SIDS, *LATENT_TOKENS)))
    table = backbone.model.get_input_embeddings().weight
    offset = table[-3:] - table[:-3].mean(dim=0)
    assert 0.08 < float((offset.std() / table[:-3].std()).detach()) < 0.12
    other = Qwen3Backbone(config, Env(seed=6, vocabulary=(*SIDS, *LATENT_TOKENS)))
    assert not torch.equal(other.model.get_input_embeddings().weight[-3:], table[-3:])


def test_pretrained_that_is_not_there_is_the_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("some/model-not-in-the-cache", str(tmp_path)):
        with pytest.raises(UserError, match=r"backbone\.pretrained"):
            Qwen3Backbone(Qwen3Config(use="qwen3", pretrained=name), Env())
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match=r"must be a qwen3 model \(got 'gpt2'\)"):
        Qwen3Backbone(Qwen3Config(use="qwen3", pretrained=str(tmp_path)), Env())


def test_pretrained_names_a_directory_or_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    names = {"Qwen/Qwen3-0.6B": "Qwen/Qwen3-0.6B", "mine": str(tmp_path / "mine"), "./x": str(tmp_path / "x")}
    assert {name: Qwen3Config(use="qwen3", pretrained=name).pretrained for name in names} == names


def test_a_sliding_window_is_read_as_transformers_does(tmp_path: Path) -> None:
    """Behind a context without gradients too, where the faster step knows no window."""
    build(initializer_std=0.3).save(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config |= {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    config["layer_types"] = ["full_attention", "sliding_attention"]
    file.write_text(json.dumps(config))
    backbone = Qwen3Backbone(Qwen3Config(use="qwen3", pretrained=str(tmp_path)), Env()).eval()
    ids = torch.arange(40, 49)[None]
    with torch.no_grad():
        _, context = backbone.advance(backbone.embed(ids[:, :6]), torch.arange(-1, 5)[None], None)
        hidden, _ = backbone.advance(backbone.embed(ids[:, 6:]), torch.tensor([[5, 6, 7]]), context)
        expected = AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits[:, 6:]
    torch.testing.assert_close(backbone.logits(hidden), expected, atol=1e-4, rtol=1e-4)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    backbone = build()
    backbone.save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(backbone.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="weights must be safetensors"):
        Qwen3Backbone(Qwen3Config(use="qwen3", pretrained=str(tmp_path)), Env())


@pytest.mark.parametrize("name", ["hidden_size", "layers", "rope_theta", "max_positions", "initializer_std"])
def test_a_pretrained_model_brings_its_own_sizes(name: str) -> None:
    given = {name: 16}
    assert Qwen3Config(use="qwen3", pretrained="Qwen/Qwen3-0.6B", **given).without_effect() == (name,)
    assert Qwen3Config(use="qwen3", pretrained="Qwen/Qwen3-0.6B").without_effect() == ()
    assert Qwen3Config(use="qwen3", **given).without_effect() == ()


def test_a_revision_is_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({"pretrained": str(tmp_path)}, {}):
        with pytest.raises(ValidationError, match="'revision' belongs to a model on the hub"):
            Qwen3Config(use="qwen3", revision="v1", **options)
    asked = []

    def found(name: str, revision: str, **options: object) -> None:
        asked.append((name, revision))
        raise OSError("offline")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", found)
    (tmp_path / "config.json").write_text("{}")
    config = Qwen3Config(use="qwen3", pretrained="Qwen/Qwen3-0.6B", revision="v1")
    for env in (Env(), Env(checkpoint=tmp_path)):
        with pytest.raises(UserError):
            Qwen3Backbone(config, env)
    assert asked == [("Qwen/Qwen3-0.6B", "v1"), (str(tmp_path), "main")]


def test_no_sequence_is_longer_than_the_model_reads() -> None:
    backbone = build(max_positions=6).eval()
    chain = torch.arange(-1, 5)[None]
    states, context = backbone.advance(torch.zeros(1, 6, 64), chain, None)
    _, context = backbone.advance(states[:, :1], torch.tensor([[2]]), context)  # a branch of four tokens
    with pytest.raises(UserError, match="a sequence of 7 tokens is longer than the 6 positions"):
        backbone.advance(states[:, :1], torch.tensor([[5]]), context)
    with pytest.raises(UserError, match="a sequence of 7 tokens"):
        backbone.advance(torch.zeros(1, 7, 64), torch.arange(-1, 6)[None], None)


@pytest.mark.parametrize(
    "options", [{"heads": 3}, {"kv_heads": 3}, {"head_dim": 5}, {"text_vocabulary": 258}, {"hidden": 3}]
)
def test_impossible_sizes_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Qwen3Config(use="qwen3", **options)
