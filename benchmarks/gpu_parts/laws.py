"""(h) The laws of each kind, tried on the device."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from gpu_parts.common import Bench
from gpu_parts.models import catalogue

CONTRACTS: dict[str, list[dict[str, Any]]] = {
    "backbone": [
        {"use": "qwen3", "hidden_size": 16, "layers": 2, "text_vocabulary": 259, "initializer_std": 0.3},
        {"use": "sasrec", "hidden_size": 16, "initializer_std": 0.3},
        {"use": "gru4rec", "hidden_size": 16, "initializer_std": 0.3},
        {"use": "bsarec", "hidden_size": 16, "initializer_std": 0.3},
        {"use": "bert4rec", "hidden_size": 16, "initializer_std": 0.3},
        {"use": "t5", "hidden_size": 16, "layers": 2, "heads": 2, "head_dim": 8, "intermediate_size": 32},
    ],
    "latent_loop": [
        {"use": "coconut"},
        {"use": "coconut", "h0": "prompt_last", "feedback_scale": "projection", "exit": "direct"},
        {"use": "coconut", "feedback_scale": "embedding_rms", "exit": "hN_as_input", "checkpoint": True},
        {"use": "rearec"},
        {"use": "pause"},
        {"use": "noise"},
        {"use": "none"},
    ],
    "depth_policy": [{"use": "mlp"}, {"use": "fixed"}, {"use": "none"}],
    "aligner": [
        {"use": "stepwise"},
        {"use": "terminal", "distance": "mse", "space": "vocab"},
        {"use": "none"},
    ],
    "rl_objective": [{"use": "grpo"}, {"use": "grpo", "kl": "exact", "std_ddof": 0}, {"use": "reinforce"}],
    "reward": [{"use": "rule"}, {"use": "ndcg"}, {"use": "prefix"}],
    "sft_objective": [
        {"use": "answer"},
        {"use": "bce"},
        {"use": "sampled_softmax"},
        {"use": "align"},
        {"use": "depth_label"},
        {"use": "item_text"},
        {"use": "cloze"},
    ],
    "decoder": [
        {"use": "trie_beam"},
        {"use": "trie_beam", "score": "trie", "table_megabytes": 0},
        {"use": "mixed_trie"},
        {"use": "trie_sample"},
        {"use": "trie_sample", "replacement": False},
    ],
    "quantizer": [
        {"use": "rq_kmeans"},
        {"use": "item_id"},
        {"use": "rq_vae", "levels": 2, "codes": 3, "hidden": [8], "width": 4, "epochs": 2},
    ],
}


def part(bench: Bench) -> None:
    """As long as there is time."""
    if importlib.util.find_spec("hypothesis") is None:
        bench.tell("contracts", skipped="hypothesis is not installed")
        return
    for kind, tables in CONTRACTS.items():
        for table in tables[:1] if bench.smoke else tables:
            bench.attempt(
                f"contract {kind} {' '.join(map(str, table.values()))}", law(bench, kind, table), 1.0
            )


def law(bench: Bench, kind: str, table: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """The contract of one component."""
    from lasar_kit.testing import check_component

    def work() -> dict[str, Any]:
        options = {name: value for name, value in table.items() if name != "use"}
        results = check_component(kind, table["use"], options, catalogue(), bench.device)
        broken = [result.message[:300] for result in results if not result.ok]
        return {"passed": not broken, "checks": len(results), **({"broken": broken} if broken else {})}

    return work
