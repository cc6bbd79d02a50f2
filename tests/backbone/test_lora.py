"""LoRA adapters of the Qwen3 backbone, against transformers' and peft's own reading of what it saves."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.errors import UserError
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config

WIDTH, RANK, ALPHA = 16, 3, 5.0
SIDS = tuple(sid_tokens((4, 4)))
TOKENS = (*SIDS, *LATENT_TOKENS)
LORA = {"rank": RANK, "alpha": ALPHA}

pytestmark = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """Folder of a small model that knows text alone."""
    root = tmp_path_factory.mktemp("base")
    for tied in (True, False):
        config = Qwen3Config(
            use="qwen3",
            hidden_size=WIDTH,
            layers=2,
            heads=4,
            kv_heads=2,
            text_vocabulary=259,
            tied_embeddings=tied,
            initializer_std=0.3,
        )
        Qwen3Backbone(config, Env(seed=3)).save(root / str(tied))
    return lambda tied: root / str(tied)


def build(base: Path, seed: int = 0, lora: object = LORA, **options: object) -> Qwen3Backbone:
    """A backbone on that model, in evaluation mode."""
    config = Qwen3Config(use="qwen3", pretrained=str(base), lora=lora, **options)
    return Qwen3Backbone(config, Env(seed=seed, vocabulary=TOKENS)).eval()


def restore(
    base: Path, checkpoint: Path, vocabulary: tuple[str, ...] = (), lora: object = LORA, **options: object
) -> Qwen3Backbone:
    config = Qwen3Config(use="qwen3", pretrained=str(base), lora=lora, **options)
    return Qwen3Backbone(config, Env(seed=9, vocabulary=vocabulary, checkpoint=checkpoint)).eval()


def trained(backbone: Qwen3Backbone) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in backbone.named_parameters() if weight.requires_grad}


def shaken(backbone: Qwen3Backbone) -> Qwen3Backbone:
    """Adapters and rows as training might leave them."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in trained(backbone).values():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return backbone


def some_ids(backbone: Qwen3Backbone) -> Tensor:
    names = ["a", "<a_1>", "b", "<b_3>", "<b_3>", LATENT_TOKENS[0], "c"]
    return torch.tensor([backbone.tokenizer.convert_tokens_to_ids(names)])


def read(backbone: Qwen3Backbone, ids: Tensor) -> Tensor:
    """Logits at all tokens, through the interface."""
    hidden, _ = backbone.advance(backbone.embed(ids), torch.arange(-1, ids.shape[1] - 1)[None], None)
    return backbone.logits(hidden)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_fresh_adapters_change_nothing(base: Callable[[bool], Path], tied: bool) -> None:
    plain, adapted = build(base(tied), seed=4, lora=None), build(base(tied), seed=4)
    ids = some_ids(plain)
    assert torch.equal(ids, some_ids(adapted))
    close(read(adapted, ids), read(plain, ids))
    close(adapted.embedding_norm(), plain.embedding_norm())


def test_saved_restored_and_merged_models_agree(
    base: Callable[[bool], Path], tmp_path: Path, tied: bool
) -> None:
    backbone = shaken(build(base(tied)))
    ids = some_ids(backbone)
    with torch.no_grad():
        expected = read(backbone, ids)
        backbone.save(tmp_path)
        restored = restore(base(tied), tmp_path)
        assert torch.equal(read(restored, ids), expected)
        assert torch.equal(read(restore(base(tied), tmp_path, TOKENS), ids), expected)
        merged = AutoModelForCausalLM.from_pretrained(tmp_path)
        close(merged(ids).logits, expected)
        assert (merged.get_input_embeddings().weight is merged.get_output_embeddings().weight) == tied
        plain = restore(base(tied), tmp_path, lora=None)  # which reads it merged
        close(read(plain, ids), expected)
        close(backbone.embedding_norm(), merged.get_input_embeddings().weight.norm(dim=-1).mean())
    assert trained(restored).keys() == trained(backbone).keys()
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == restored.tokenizer.get_vocab()
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".safetensors"}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's use
def test_peft_reads_the_adapters_onto_the_base(
    base: Callable[[bool], Path], tmp_path: Path, tied: bool
) -> None:
    backbone = shaken(build(base(tied)))
    backbone.save(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(base(tied))
    model.resize_token_embeddings(len(backbone.tokenizer), mean_resizing=False)
    ids = some_ids(backbone)
    close(PeftModel.from_pretrained(model, str(tmp_path / "lora")).eval()(ids).logits, read(backbone, ids))


def test_merged_weights_by_hand(base: Callable[[bool], Path], tmp_path: Path, tied: bool) -> None:
    backbone = shaken(build(base(tied), lora={**LORA, "targets": ["q_proj", "down_proj"]}))
    backbone.save(tmp_path)
    old = load_file(base(tied) / "model.safetensors")
    merged = load_file(tmp_path / "model.safetensors")
    adapters = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    assert merged.keys() == old.keys()
    for name, weight in old.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        if name.endswith(("q_proj.weight", "down_proj.weight")):
            up, down = adapters.pop(f"{stem}.lora_B.weight"), adapters.pop(f"{stem}.lora_A.weight")
            close(merged[name], weight + ALPHA / RANK * up @ down)
        elif name in ("model.embed_tokens.weight", "lm_head.weight"):
            rows = adapters.pop(f"{stem}.token_adapter.trainable_tokens_delta")
            assert len(rows) == len(TOKENS)
            assert torch.equal(merged[name], torch.cat([weight, rows]))
        else:
            assert torch.equal(merged[name], weight), name
    assert not adapters


def test_only_adapters_and_rows_take_gradients_and_these_are_pefts(
    base: Callable[[bool], Path], tied: bool
) -> None:
    """The backbone reads trained rows its own way; peft's, which copies whole matrices, is the check."""
    backbone = shaken(build(base(tied)))
    ids = some_ids(backbone)
    kinds = {"lora_A", "lora_B", "trainable_tokens_delta"}
    assert all(kinds & set(name.split(".")) for name in trained(backbone))
    shapes = [(16, 16), (16, 8), (16, 8), (16, 16), (16, 48), (16, 48), (48, 16)]  # q k v o gate up down
    adapters = 2 * sum(RANK * (inputs + outputs) for inputs, outputs in shapes)
    rows = len(TOKENS) * WIDTH * (1 if tied else 2)
    assert sum(weight.numel() for weight in trained(backbone).values()) == adapters + rows
    found = {}
    weights = list(trained(backbone).values())
    for name, logits in (("ours", read(backbone, ids)), ("peft", backbone.model(ids).logits)):
        found[name] = torch.autograd.grad(logits.log_softmax(-1)[0, :, ::7].sum(), weights)
    for ours, peft in zip(*found.values(), strict=True):
        torch.testing.assert_close(ours, peft, atol=1e-4, rtol=1e-4)
        assert ours.abs().max() > 0
    read(backbone, ids).sum().backward()
    assert all((weight.grad is not None) == weight.requires_grad for weight in backbone.parameters())


def test_some_logits_are_those_of_all(base: Callable[[bool], Path], tied: bool) -> None:
    backbone = shaken(build(base(tied)))
    tokens = some_ids(backbone)[0]
    hidden = torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(0))
    close(backbone.logits(hidden, tokens), backbone.logits(hidden)[..., tokens])


def test_saving_leaves_the_model_as_it_is(base: Callable[[bool], Path], tmp_path: Path, tied: bool) -> None:
    backbone = shaken(build(base(tied)))
    weights = list(backbone.parameters())
    values, trains = [weight.clone() for weight in weights], [weight.requires_grad for weight in weights]
    backbone.save(tmp_path)
    assert [weight.requires_grad for weight in weights] == trains
    for weight, value, now in zip(weights, values, backbone.parameters(), strict=True):
        assert now is weight
        assert torch.equal(weight, value)


def test_seed_decides_the_adapters_and_the_global_generator_is_untouched(
    base: Callable[[bool], Path], tied: bool
) -> None:
    state = torch.get_rng_state()
    first = trained(build(base(tied), seed=1))
    torch.rand(3)
    again, other = trained(build(base(tied), seed=1)), trained(build(base(tied), seed=2))
    torch.set_rng_state(state)
    build(base(tied), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
        if ".lora_B." in name:
            assert not weight.any()
        else:
            assert not torch.equal(weight, other[name])
        if ".lora_A." in name:  # uniform within 1 / sqrt(inputs), as of torch.nn.Linear
            bound = 1 / math.sqrt(weight.shape[1])
            assert 0.8 * bound < weight.abs().max() <= bound


def test_tokens_added_to_a_checkpoint_join_the_trained_rows(
    base: Callable[[bool], Path], tmp_path: Path, tied: bool
) -> None:
    config = Qwen3Config(use="qwen3", pretrained=str(base(tied)), lora=LORA)
    backbone = shaken(Qwen3Backbone(config, Env(vocabulary=SIDS)))
    backbone.save(tmp_path / "one")
    grown = restore(base(tied), tmp_path / "one", TOKENS)
    ids = backbone.tokenizer.convert_tokens_to_ids(list(SIDS))
    assert torch.equal(grown.embed(torch.tensor(ids)), backbone.embed(torch.tensor(ids)))
    new = torch.tensor(grown.tokenizer.convert_tokens_to_ids(list(LATENT_TOKENS)))
    assert grown.embed(new).requires_grad
    assert 0 < grown.embed(new).std() < 0.3
    shaken(grown).save(tmp_path / "two")
    with torch.no_grad():
        assert torch.equal(
            read(restore(base(tied), tmp_path / "two"), some_ids(grown)), read(grown, some_ids(grown))
        )


def test_tokens_that_the_base_knows_are_trained_from_where_they_are(
    base: Callable[[bool], Path], tmp_path: Path, tied: bool
) -> None:
    earlier = shaken(build(base(tied)))
    earlier.save(tmp_path)
    later = build(tmp_path)
    ids = some_ids(earlier)
    close(read(later, ids), read(earlier, ids))
    assert later.embed(torch.tensor(later.tokenizer.convert_tokens_to_ids("<a_1>"))).requires_grad


def test_a_base_in_bfloat16_has_adapters_in_float32(
    base: Callable[[bool], Path], tmp_path: Path, tied: bool
) -> None:
    backbone = shaken(build(base(tied), dtype="bfloat16"))
    ids = some_ids(backbone)
    for weight in backbone.parameters():
        assert weight.dtype == (torch.float32 if weight.requires_grad else torch.bfloat16)
    with torch.no_grad():
        logits = read(backbone, ids)
        assert logits.dtype == backbone.embed(ids).dtype == torch.bfloat16
        backbone.save(tmp_path)
        assert torch.equal(read(restore(base(tied), tmp_path, dtype="bfloat16"), ids), logits)
        merged = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert merged.dtype == torch.bfloat16
        # bfloat16 rounds at 2e-3 a step, weights that are merged once more: about 2 % in the mean.
        apart = (merged(ids).logits.float() - logits.float()).square().mean()
        assert apart < 2e-3 * logits.float().square().mean()


def test_dropout_is_of_training_alone(base: Callable[[bool], Path], tied: bool) -> None:
    backbone, steady = (shaken(build(base(tied), lora={**LORA, "dropout": rate})) for rate in (0.5, 0.0))
    ids = some_ids(backbone)
    assert torch.equal(read(backbone, ids), read(steady, ids))
    assert not torch.equal(read(backbone.train(), ids), read(steady.train(), ids))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rank": 4}, r"backbone\.lora\.rank: must be 3 as .* \(got 4\)"),
        ({"alpha": 6}, r"backbone\.lora\.alpha: must be 5\.0 as .* \(got 6\.0\)"),
        ({"targets": ["v_proj"]}, r"backbone\.lora\.targets: .*'down_proj', .* \(got \('v_proj',\)\)"),
    ],
)
def test_a_checkpoint_of_other_adapters_is_refused(
    base: Callable[[bool], Path], tmp_path: Path, tied: bool, changed: dict[str, object], message: str
) -> None:
    build(base(tied)).save(tmp_path)
    with pytest.raises(UserError, match=message):
        restore(base(tied), tmp_path, lora={**LORA, **changed})


def test_a_checkpoint_without_adapters_is_refused(base: Callable[[bool], Path], tied: bool) -> None:
    with pytest.raises(UserError, match="holds no adapters"):
        restore(base(tied), base(tied))


def test_adapters_need_a_pretrained_model(tied: bool) -> None:
    with pytest.raises(ValidationError, match="needs 'pretrained'"):
        Qwen3Config(use="qwen3", tied_embeddings=tied, lora=LORA)
