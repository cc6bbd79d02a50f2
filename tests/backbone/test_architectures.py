"""`hf_causal` on tiny models of each architecture: the contract, transformers' own answers, adapters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec
from lasar_kit.testing import check_component
from lasar_plugins.backbone.hf_causal import backbone as module
from lasar_plugins.backbone.hf_causal.architecture import TESTED
from lasar_plugins.backbone.hf_causal.backbone import HfCausalBackbone
from lasar_plugins.backbone.hf_causal.config import HfCausalConfig
from tests.backbone.tiny_models import MODELS, make

CATALOGUE = Catalogue.discover()
VOCABULARY = (*sid_tokens((4, 4)), *LATENT_TOKENS)
PARENTS = [-1, -1, 1, 2, 3, 4, 5, 6, 6, 7, 3, 8, 9, 9, 10]
"""A left pad, six tokens in a chain, branches off it that go deeper than the windows of three tokens."""
CONTRACT = ("gemma2", "gemma3_text", "llama", "mistral", "olmo2", "phi", "phi3", "qwen2", "qwen3", "smollm3")
"""Those that the contract is run on: the common ones, and all that has a way of its own."""
SHARE = 0.5
"""Of the contract's examples, as of any other built-in backbone."""
REACHING = {
    "mistral": {"sliding_window": 24},
    "phi3": {"sliding_window": 24, "original_max_position_embeddings": 60},
}
"""Of those whose layers all have windows, and for the contract alone: two layers reach over forty tokens."""
ALL = pytest.mark.parametrize("name", TESTED)
Made = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Folder of a tiny model by architecture and options."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def once(name: str, **options: object) -> Path:
        return make(root / "-".join([name, *map(str, options.values())]), name, **options)

    return once


def build(folder: Path, checkpoint: Path | None = None, **options: object) -> HfCausalBackbone:
    config = HfCausalConfig.model_validate({"use": "hf_causal", "pretrained": str(folder), **options})
    return HfCausalBackbone(config, Env(seed=1, vocabulary=VOCABULARY, checkpoint=checkpoint)).eval()


def shaken(backbone: HfCausalBackbone) -> HfCausalBackbone:
    """Return a backbone whose trained weights are as training might leave them."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in backbone.parameters():
            if weight.requires_grad:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return backbone


def some_ids(backbone: HfCausalBackbone) -> Tensor:
    """As many tokens as the tree has, SIDs and latent ones among them."""
    known = [backbone.tokenizer.convert_tokens_to_ids(token) for token in VOCABULARY]
    return torch.tensor([5, *known, 9, 200, 17, 44])[: len(PARENTS)]


@torch.no_grad()
def by_tree(backbone: HfCausalBackbone, ids: Tensor) -> Tensor:
    """Logits at the nodes of the tree, read in three calls."""
    parent, logits, context, begin = torch.tensor([PARENTS]), [], None, 0
    for end in (7, 10, 15):
        embedded = backbone.embed(ids[None, begin:end])
        hidden, context = backbone.advance(embedded, parent[:, begin:end], context)
        logits.append(backbone.logits(hidden)[0])
        begin = end
    return torch.cat(logits)[1:]


@torch.no_grad()
def by_path(folder: Path, ids: Tensor) -> Tensor:
    """Logits of transformers' own model, a plain forward a node."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    rows = []
    for node in range(1, len(PARENTS)):
        path = [node]
        while PARENTS[path[0]] >= 0:
            path.insert(0, PARENTS[path[0]])
        rows.append(model(input_ids=ids[path][None], use_cache=False).logits[0, -1])
    return torch.stack(rows)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, atol=tolerance * scale, rtol=0)


def test_the_document_names_what_is_let_in_and_its_example_is_valid(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text()
    listed = document.split("<!-- architectures -->")[1]
    assert tuple(re.findall(r"`(\w+)`", listed)) == TESTED
    examples = re.findall(r"^```yaml\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    (example,) = [text for text in examples if "use: hf_causal" in text]
    (tmp_path / "example.yaml").write_text(example + "stages: {tokenize: tokenize, ground: sft}\n")
    assert isinstance(load_spec(tmp_path / "example.yaml", (), CATALOGUE).spec.backbone, HfCausalConfig)


def test_each_architecture_that_counts_as_tested_is_tested() -> None:
    assert sorted(MODELS) == sorted(TESTED)


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_is_kept(made: Made, name: str) -> None:
    folder = made(name, **REACHING.get(name, {}))
    results = check_component("backbone", "hf_causal", {"pretrained": str(folder)}, CATALOGUE, share=SHARE)
    assert [result.message for result in results if not result.ok] == []


@ALL
def test_the_tree_gives_the_logits_of_plain_forwards(made: Made, tmp_path: Path, name: str) -> None:
    backbone = build(made(name))
    ids = some_ids(backbone)
    backbone.save(tmp_path)
    read = by_tree(backbone, ids)
    close(read, by_path(tmp_path, ids))
    tokens = torch.tensor([3, 270, 0])
    hidden = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        close(backbone.logits(hidden, tokens), backbone.logits(hidden)[..., tokens])


@ALL
def test_adapters_and_new_rows_are_saved_merged_and_restored(made: Made, tmp_path: Path, name: str) -> None:
    backbone = shaken(build(made(name), lora={"rank": 2}))
    ids = some_ids(backbone)
    read = by_tree(backbone, ids)
    backbone.save(tmp_path)
    close(read, by_path(tmp_path, ids), 2e-4)  # merged weights are rounded, and norms magnify it
    again = build(made(name), tmp_path, lora={"rank": 2})
    assert torch.equal(by_tree(again, ids), read)
    kinds = {"lora_A", "lora_B", "trainable_tokens_delta"}
    trained = [key for key, weight in backbone.named_parameters() if weight.requires_grad]
    assert all(kinds & set(key.split(".")) for key in trained)
    assert sum("lora_A" in key for key in trained) >= 2 * 4  # attention and MLP of both layers


@pytest.mark.parametrize("lora", [None, {"rank": 2}], ids=["whole", "lora"])
@pytest.mark.parametrize(
    ("name", "tied"),
    [("llama", True), ("gemma2", False), ("gemma3_text", False), ("qwen2", False), ("cohere", False)],
)
def test_tied_and_untied(made: Made, tmp_path: Path, name: str, tied: bool, lora: object) -> None:
    """Those that are the other way round by default."""
    backbone = shaken(build(made(name, tie_word_embeddings=tied), lora=lora))
    ids = some_ids(backbone)
    backbone.save(tmp_path)
    close(by_tree(backbone, ids), by_path(tmp_path, ids), 2e-4)
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] == tied


@pytest.mark.parametrize("name", ["gemma2", "mistral", "phi", "qwen3"])
def test_eager_attention_reads_the_same(made: Made, name: str) -> None:
    one, other = build(made(name)), build(made(name), attention="eager")
    assert other.model.config._attn_implementation == "eager"
    close(by_tree(one, some_ids(one)), by_tree(other, some_ids(one)))


def test_new_tokens_of_a_head_with_a_bias_start_at_its_mean(made: Made) -> None:
    bias = build(made("phi")).model.get_output_embeddings().bias.detach()
    torch.testing.assert_close(bias[-3:], bias[:259].mean().expand(3), atol=0.2, rtol=0)
    assert torch.equal(bias[259:270], bias[259].expand(11))


@pytest.mark.parametrize(
    ("targets", "expected"),
    [(None, ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]), (["qkv_proj"], ["qkv_proj"])],
)
def test_fused_projections_are_adapted(made: Made, targets: list[str] | None, expected: list[str]) -> None:
    backbone = build(made("phi3"), lora={"rank": 2, "targets": targets})
    found = {name.split(".")[-4] for name, _ in backbone.named_parameters() if "lora_A" in name}
    assert sorted(found) == expected


def test_targets_that_a_model_lacks_are_named(made: Made) -> None:
    message = "linear maps of this 'phi3' model are down_proj, gate_up_proj, o_proj, qkv_proj .got q_proj, x."
    with pytest.raises(UserError, match=message):
        build(made("phi3"), lora={"targets": ["q_proj", "o_proj", "x"]})


def test_long_rope_is_read_up_to_where_its_frequencies_change(made: Made) -> None:
    backbone = build(made("phi3"))
    chain = torch.arange(-1, 24)[None]
    backbone.advance(torch.zeros(1, 24, 16), chain[:, :24], None)
    with pytest.raises(UserError, match="25 tokens is longer than the 24 positions"):
        backbone.advance(torch.zeros(1, 25, 16), chain, None)


REFUSED = {
    "lfm2": ({"layer_types": ["conv", "full_attention"]}, "layer_types: .*; got conv"),
    "cwm": ({"head_dim": 4, "sliding_window": 3}, "attends to 3 tokens alone in some layers, .*got 'cwm'"),
    "gpt_neo": (
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 3},
        "attends to 3 tokens alone",
    ),
    "bloom": ({"n_head": 4, "n_layer": 2}, "a 'bloom' model cannot be read as a token tree"),
    "roberta": ({"num_key_value_heads": None, "is_decoder": False}, "a 'roberta' model (is|cannot be) read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_tree_is_not_exact_on_is_refused(tmp_path: Path, name: str) -> None:
    options, message = REFUSED[name]
    with pytest.raises(UserError, match=message) as told:
        build(make(tmp_path, name, **options))
    assert len(told.value.lines) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"model_type": "gemma3"}, "must be a language model alone .'gemma3' is made of text_config, vision"),
        ({"model_type": "t5"}, "must be a decoder-only language model .got 't5'."),
        ({"model_type": "vit"}, "must be a decoder-only language model .got 'vit'."),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "must be causal"),
        ({"model_type": "nothing_yet"}, "cannot be loaded.*nothing_yet"),
    ],
)
def test_configurations_that_are_no_decoder_are_refused(
    tmp_path: Path, table: dict[str, object], message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=message):
        build(tmp_path)


@pytest.mark.parametrize(
    ("name", "options"), [("olmo", {}), ("opt", {"ffn_dim": 24, "word_embed_proj_dim": 16})]
)
def test_an_architecture_that_is_not_tested_is_read_once(tmp_path: Path, name: str, options: object) -> None:
    assert name not in TESTED
    backbone = build(make(tmp_path / "base", name, **options))
    ids = some_ids(backbone)
    backbone.save(tmp_path / "saved")
    close(by_tree(backbone, ids), by_path(tmp_path / "saved", ids))


@pytest.mark.parametrize("name", ["granite", "gemma2", "cohere2", "mistral"])
def test_a_reading_that_forgets_what_a_model_does_is_refused(
    made: Made, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Scales, caps and windows left out, as a tree that knows nothing of them would read it."""
    plain = module.Architecture(name, capped=name == "gemma2")
    monkeypatch.setattr(module, "TESTED", ())
    build(made(name))
    monkeypatch.setattr(module.weights, "admit", lambda config, place, only: plain)
    with pytest.raises(UserError, match=f"a '{name}' model is read wrongly .*: logits are off by"):
        build(made(name))


def test_dropout_that_a_model_does_not_have(made: Made) -> None:
    with pytest.raises(UserError, match=r"attention_dropout: a 'gpt2' model has none to set"):
        build(made("gpt2"), attention_dropout=0.1)
