"""All built-in components keep the laws of their kinds, under options that change what they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.testing import check_component
from lasar_kit.testing.checks import CONTRACTS

CATALOGUE = Catalogue.discover()
QWEN = {"hidden_size": 16, "layers": 2, "text_vocabulary": 259, "initializer_std": 0.3}
T5 = {"hidden_size": 16, "layers": 2, "heads": 2, "head_dim": 8, "intermediate_size": 32}
TRAINED = {"levels": 2, "codes": 3, "hidden": [8], "epochs": 2, "kmeans_iterations": 5}
COMPONENTS: dict[str, list[dict[str, Any]]] = {
    "quantizer": [
        {"use": "rq_kmeans"},
        {"use": "rq_kmeans", "levels": 3, "codes": [2, 3, 4], "balanced": True},
        {"use": "rq_vae", **TRAINED, "width": 4, "sinkhorn_iterations": 5, "codebooks": "ema"},
        {"use": "rq_kmeans_plus", **TRAINED, "epochs": 0},
        {"use": "opq", "levels": 1, "codes": 3, "rounds": 1},
        {"use": "from_index", "path": "{files}/index.json"},
        {"use": "item_id"},
        {"use": "hybrid", "semantic": {"use": "rq_kmeans", "levels": 2, "codes": 2}},
    ],
    "backbone": [
        {"use": "sasrec", "hidden_size": 16, "initializer_std": 0.3},
        {"use": "sasrec", "hidden_size": 16, "norm": "pre", "activation": "relu", "initializer_std": 0.3},
        {"use": "gru4rec", "hidden_size": 16, "state_size": 12, "initializer_std": 0.5},
        {"use": "gru4rec", "hidden_size": 16, "layers": 2, "initializer_std": 0.5},
        {"use": "bsarec", "hidden_size": 16, "initializer_std": 0.3},
        {"use": "bsarec", "hidden_size": 16, "heads": 2, "pads": "zero", "c": 1, "initializer_std": 0.3},
        {"use": "bert4rec", "hidden_size": 16, "initializer_std": 0.3},
        {"use": "t5", **T5},
        {"use": "t5", **T5, "users": 3},
        {"use": "hf_causal", "pretrained": "{model}", "embedding_dropout": 0.2},
        {"use": "qwen3", **QWEN},
        {"use": "qwen3", **QWEN, "heads": 4, "kv_heads": 2, "attention": "eager", "tied_embeddings": False},
        {"use": "qwen3", "pretrained": "{model}", "lora": {"rank": 2}},
        {"use": "qwen3", **QWEN, "dtype": "bfloat16", "embedding_dropout": 0.2, "attention_dropout": 0.2},
        {"use": "qwen3", **QWEN, "residual_dropout": 0.2},
    ],
    "latent_loop": [
        {"use": "none"},
        {"use": "coconut"},
        {"use": "coconut", "h0": "prompt_last", "feedback_scale": "projection", "exit": "direct"},
        {"use": "coconut", "feedback_scale": "embedding_rms", "exit": "hN_as_input", "checkpoint": True},
        {"use": "coconut", "detach": True},
        {"use": "coconut", "positions": True},
        {"use": "coconut", "positions": True, "exit": "hN_as_input"},
        {"use": "coconut", "exit": "residual"},
        {"use": "coconut", "exit": "residual", "residual_std": 0.3, "feedback_scale": "embedding_rms"},
        {"use": "rearec"},
        {"use": "rearec", "exit": "mean"},
        {"use": "rearec", "feedback_scale": "embedding_rms"},
        {"use": "halting"},
        {"use": "halting", "threshold": 0.5},
        {"use": "halting", "threshold": 1e9, "least": 2, "loop": {"use": "coconut", "positions": True}},
        {"use": "pause"},
        {"use": "pause", "exit": "direct", "embeddings": 1},
        {"use": "noise"},
        {"use": "noise", "exit": "direct", "scale": 2.0},
        {"use": "written", "limit": 4},
        {"use": "s2gr"},
        {"use": "coconut_curriculum", "limit": 3},
        {"use": "softcot"},
        {"use": "plr", "streams": 2},
        {"use": "latentr3"},
        {"use": "lares"},
    ],
    "depth_policy": [
        {"use": "none"},
        {"use": "fixed"},
        {"use": "mlp"},
        {"use": "mlp", "n_max": 2, "allow_zero": True, "detach_h0": True},
    ],
    "aligner": [
        {"use": "none"},
        {"use": "stepwise"},
        {"use": "stepwise", "excess": "skip", "distance": "cosine"},
        {"use": "stepwise", "space": "vocab", "temperature": 2.0},
        {"use": "stepwise", "space": "vocab", "distance": "ce"},
        {"use": "terminal"},
        {"use": "terminal", "distance": "mse", "space": "vocab"},
        {"use": "terminal", "distance": "l1"},
        {"use": "terminal", "distance": "l1", "at": "answer"},
        {"use": "terminal", "space": "vocab", "distance": "ce"},
    ],
    "sft_objective": [
        {"use": "answer"},
        {"use": "answer", "temperature": 0.07},
        {"use": "cloze"},
        {"use": "cloze", "rate": 0.3, "last": 1.0},
        {"use": "rationale"},
        {"use": "direct_answer"},
        {"use": "each_thought"},
        {
            "use": "each_thought",
            "alpha": 2.0,
            "power": 2.0,
            "weights": [0.5, 1.0],
            "start": True,
            "over": "sum",
        },
        {"use": "each_thought", "last": False, "start": True},
        {"use": "rearec_prl", "temperature": 1.0},
        {"use": "rearec_prl", "temperature": 1.0, "warmup": 0},
        {"use": "rearec_prl", "warmup": 0, "negatives": "row", "similarity": "cosine", "over": "sum"},
        {"use": "rearec_erl", "temperature": 0.5},
        {"use": "mancar_neighbours"},
        {"use": "mancar_neighbours", "source": "item_knn_directed", "start": False, "over": "mean"},
        {"use": "s2gr", "soft": 0.5},
        {"use": "remaining_steps"},
        {"use": "codi"},
        {"use": "plr_diversity"},
        {"use": "latentr3", "copies": 1},
        {"use": "sampled_softmax", "negatives": 3},
        {"use": "sampled_softmax", "source": "popularity", "correction": "negatives"},
        {"use": "sampled_softmax", "source": "in_batch"},
        {"use": "bce"},
        {"use": "bce", "negatives": 3, "calibration": 0.75},
        {"use": "align"},
        {"use": "align", "aligner": {"use": "stepwise", "excess": "skip"}},
        {"use": "depth_label"},
        {"use": "text_to_sid"},
        {"use": "sid_to_text", "max_tokens": 1},
        {"use": "history_to_title", "samples": "longest_per_user"},
        {"use": "titles_to_sid", "batch_size": 5},
        {"use": "intention_to_sid"},
        {"use": "history_to_preference", "max_tokens": 1},
        {"use": "item_text"},
        {"use": "reasoning_text"},
    ],
    "rl_objective": [
        {"use": "grpo"},
        {"use": "grpo", "ratio": "ref", "level": "sequence", "constant_groups": "keep", "beta": 0.1},
        {"use": "grpo", "kl": "exact", "std_ddof": 0},
        {"use": "srpo", "k": 2},
        {"use": "reinforce"},
    ],
    "decoder": [
        {"use": "trie_beam"},
        {"use": "trie_beam", "score": "trie", "table_megabytes": 0},
        {"use": "mixed_trie"},
        {"use": "mixed_trie", "score": "vocabulary", "prior": "popularity", "weight": 0.2},
        {"use": "trie_sample"},
        {"use": "trie_sample", "replacement": False, "score": "vocabulary", "temperature": 2.0},
    ],
    "dataset": [
        {"use": "demo", "users": 20, "items": 60},
        {"use": "demo", "users": 20, "items": 70, "projects": 0.5},
        {"use": "hops", "nodes": 20},
        {"use": "csv", "interactions": "{files}/events.csv"},
        {"use": "recbole", "path": "{files}/toy.inter"},
        {"use": "lcrec", "path": "{files}/lcrec"},
        {"use": "amazon_reviews", "reviews": "{files}/reviews.json", "k_core": 0},
    ],
    "text_encoder": [
        {"use": "tfidf_svd"},
        {"use": "cooccurrence"},
        {"use": "concat", "encoders": [{"encoder": "tfidf_svd"}, {"encoder": "cooccurrence", "weight": 0.5}]},
        {"use": "precomputed", "path": "{files}/vectors.npy", "normalize": True},
        {"use": "sentence_transformer", "model": "{sentences}"},
    ],
    "prompt": [
        {"use": "minionerec"},
        {"use": "sid_only"},
        {"use": "template", "text": "Bought {history}, now "},
    ],
    "teacher": [
        {"use": "template"},
        {"use": "jsonl", "path": "{files}/texts.jsonl"},
        {"use": "hf", "model": "{model}", "max_new_tokens": 8},
        {"use": "openai", "base_url": "{endpoint}", "model": "m", "cache": "{cache}", "api_key_env": None},
    ],
    "segmenter": [
        {"use": "steps"},
        {"use": "steps", "max_segments": 1},
        {"use": "sentences", "max_segments": 2},
        {"use": "embedding", "model": "{sentences}"},
    ],
    "reward": [
        {"use": "rule"},
        {"use": "prefix"},
        {"use": "ndcg"},
        {"use": "ndcg", "sign": 1},
        {"use": "prefix", "values": [0.5, 0.7]},
        {"use": "format_gate"},
    ],
    "ranker": [
        {"use": "popularity"},
        {"use": "item_knn"},
        {"use": "item_knn", "decay": 1.0, "recent": 0},
        {"use": "item_knn_directed"},
        {"use": "item_knn_directed", "window": 1, "backward": 0.0, "recent": 2},
        {"use": "swing"},
        {"use": "swing", "user_power": 0.0, "recent": 0},
        {"use": "ease"},
        {"use": "ease", "l2": 0.5, "decay": 0.5, "recent": 3},
        {"use": "random"},
    ],
    "hook": [
        {"use": "target", "value": 0.2},
        {"use": "target", "metric": "loss", "value": 1.5, "reached": "at_most", "stages": ["reason"]},
        {"use": "time_limit"},
        {"use": "time_limit", "minutes": 5, "stages": ["ground"]},
    ],
}
ELSEWHERE = {
    ("teacher", "hops"): "answers the questions of its own data set alone",
    ("teacher", "demo"): "writes about the projects of its own data set alone",
    ("sft_objective", "mixture"): "trains a decoder that mixes alone",
    ("ranker", "run"): "ranks the items of its own run alone",
    ("text_encoder", "trained"): "knows the items of a trained model alone",
}
"""Components that are not tried here, and why."""
DECLARED = {
    "rq_kmeans": {"items_are_encoded_by_themselves"},
    "rq_vae": {
        "each_level_brings_items_nearer",
        "error_does_not_grow_by_level",
        "items_are_encoded_by_themselves",
    },
    "from_index": {"items_are_encoded_by_themselves"},
    "item_id": {"items_are_encoded_by_themselves"},
    "hybrid": {"items_are_encoded_by_themselves"},
    "precomputed": {"order_of_items_does_not_matter"},
    "grpo": {"old_policy_is_used"},
    "srpo": {"clipping_is_on_both_sides", "the_reference_pulls"},
    "ndcg": {"the_target_earns_most"},
    "rearec_prl": {"parts_add_up_to_the_whole"},
    "rearec": {"last_is_the_state_at_the_tip", "many_tokens_and_thoughts_are_as_few"},
    "coconut": {
        "answer_hangs_on_its_own_thoughts",
        "depth_is_felt",
        "last_is_the_state_at_the_tip",
        "many_tokens_and_thoughts_are_as_few",
    },
    "written": {
        "depth_is_felt",
        "many_tokens_and_thoughts_are_as_few",
        "mask_counts_the_depth",
    },
    "plr": {
        "last_is_the_state_at_the_tip",
        "many_tokens_and_thoughts_are_as_few",
        "thoughts_are_states_of_the_backbone",
    },
    "coconut_curriculum": {
        "mask_counts_the_depth",
        "many_tokens_and_thoughts_are_as_few",
        "depth_is_felt",
    },
    "trie_sample": {
        "a_branch_alone_is_the_branch_in_any_batch",
        "a_large_catalogue_is_ranked_too",
        "equal_scores_keep_their_order",
        "no_item_twice",
        "wide_search_ranks_the_whole_catalogue",
    },
    "sampled_softmax": {"parts_add_up_to_the_whole"},
    "stepwise": {"zero_on_identity"},
    "terminal": {"zero_on_identity", "gradient_reaches_thoughts_alone", "every_pair_is_felt"},
}
"""Checks that a component may declare itself to fail."""
FIRST, FURTHER = 0.5, 0.15
"""Shares of the examples that a component is tried on: under the options listed first, and under others."""
CASES = [
    pytest.param(kind, table, share, id=f"{kind}-{table['use']}-{n}")
    for kind, tables in COMPONENTS.items()
    for n, table in enumerate(tables)
    for share in [FURTHER if table["use"] in {before["use"] for before in tables[:n]} else FIRST]
]


@pytest.fixture
def placed(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Any]:
    """Fills `{name}` in options with what the fixture of that name made."""
    made: dict[str, Callable[[], Any]] = {
        "files": lambda: request.getfixturevalue("files"),
        "model": lambda: request.getfixturevalue("language_model"),
        "endpoint": lambda: request.getfixturevalue("endpoint"),
        "cache": lambda: tmp_path,
        "sentences": lambda: request.getfixturevalue("sentence_model"),
    }

    def fill(value: Any) -> Any:
        for name, make in made.items():
            if isinstance(value, str) and f"{{{name}}}" in value:
                return value.replace(f"{{{name}}}", str(make()))
        return value

    return fill


@pytest.mark.parametrize(("kind", "table", "share"), CASES)
def test_a_built_in_keeps_the_laws(
    kind: str, table: dict[str, Any], share: float, placed: Callable[[Any], Any]
) -> None:
    if table.get("balanced"):
        pytest.importorskip("k_means_constrained", reason="needs the extra 'balanced', which 'test' includes")
    options = {name: placed(value) for name, value in table.items() if name != "use"}
    results = check_component(kind, table["use"], options, CATALOGUE, share=share)
    assert [result.message for result in results if not result.ok] == []
    assert {result.check.name for result in results if result.expected} <= DECLARED.get(table["use"], set())


def test_every_built_in_is_tried() -> None:
    tried = {(kind, table["use"]) for kind, tables in COMPONENTS.items() for table in tables}
    assert tried.isdisjoint(ELSEWHERE)
    built_in = {(entry.kind, entry.name) for entry in CATALOGUE.entries() if entry.kind in CONTRACTS}
    assert built_in == tried | set(ELSEWHERE)
