"""Odd input that only a run of all stages, to the end of RL and evaluation, can trip over."""

from __future__ import annotations

import copy
import csv
import io
import json
from typing import Any

from hypothesis import strategies as st

from bad_input.harness import OUTPUT, Case, Files, spec_file
from bad_input.options import put

Key = tuple[str | int, ...]

_SHARED: dict[str, Any] = {
    "batch_size": 8,
    "eval_users": 6,
    "eval_width": 10,
    "score": "trie",
    "log_every": 1,
}
SMALL: dict[str, Any] = {
    "dataset": {"use": "demo", "users": 16, "items": 60},
    "max_history": 4,
    "backbone": {"use": "qwen3", "hidden_size": 8, "layers": 1, "heads": 2, "text_vocabulary": 300},
    "prompt": {"use": "sid_only"},
    "decoder": {"use": "trie_beam", "width": 10, "score": "trie"},
    "stages": {
        "tokenize": {"use": "tokenize", "quantizer": {"use": "rq_kmeans", "levels": 2, "codes": 8}},
        "ground": {"use": "sft", "samples": "packed", "epochs": 1, "text": {"weight": 0.2}, **_SHARED},
        "anchors": {"use": "anchors", "max_segments": 3},
        "reason": {
            "use": "sft",
            "samples": "packed",
            "epochs": 1,
            "latent_loop": {"use": "coconut"},
            "depth_policy": {"use": "mlp", "n_max": 3},
            "aligner": {"use": "stepwise"},
            **_SHARED,
        },
        "rl": {"use": "rl", "epochs": 1, "max_samples": 8, "candidates": 4, **_SHARED},
        "evaluate": {"use": "evaluate"},
    },
}
"""A sound run of all stages, a few seconds long."""

_SIZES: dict[Key, list[Any]] = {
    ("max_history",): [1, 50],
    ("decoder", "width"): [1, 3, 500],
    ("stages", "tokenize", "quantizer", "levels"): [1, 4],
    ("stages", "tokenize", "quantizer", "codes"): [2, 64],
    ("stages", "ground", "batch_size"): [1, 999],
    ("stages", "ground", "eval_width"): [1, 500],
    ("stages", "anchors", "max_segments"): [1, 40],
    ("stages", "anchors", "max_samples"): [1],
    ("stages", "anchors", "batch_tokens"): [1],
    ("stages", "reason", "depth_policy", "n_max"): [1, 8],
    ("stages", "reason", "gradient_accumulation"): [3, 50],
    ("stages", "rl", "candidates"): [1, 2, 300],
    ("stages", "rl", "batch_size"): [1, 999],
    ("stages", "rl", "max_samples"): [1, 0],
    ("stages", "rl", "updates_per_rollout"): [3],
    ("stages", "rl", "eval_users"): [1],
    ("stages", "evaluate", "max_users"): [1],
    ("stages", "evaluate", "keep"): [1, 500],
    ("stages", "evaluate", "batch_size"): [1, 999],
}
_PARTS: dict[Key, list[Any]] = {
    ("prompt",): ["minionerec", "sid_only"],
    ("decoder", "score"): ["vocabulary", "trie"],
    ("stages", "tokenize", "collision"): ["suffix", "allow"],
    ("stages", "tokenize", "text_encoder"): ["cooccurrence"],
    ("stages", "ground", "samples"): ["sliding", "longest_per_user"],
    ("stages", "anchors", "context"): ["cumulative", "prompt_prefixed"],
    ("stages", "anchors", "segmenter"): ["sentences", "steps"],
    ("stages", "reason", "latent_loop"): ["none", {"use": "coconut", "exit": "direct"}],
    ("stages", "reason", "depth_policy"): ["none", {"use": "fixed", "depth": 2}],
    ("stages", "reason", "aligner"): ["none", "terminal", {"use": "stepwise", "distance": "cosine"}],
    ("stages", "reason", "depth"): ["policy", "at_least_label"],
    ("stages", "reason", "fresh"): [True],
    ("stages", "rl", "rollout"): [{"use": "trie_sample", "score": "trie"}],
    ("stages", "rl", "rewards"): [[{"reward": "rule"}], [{"reward": "ndcg", "weight": -1.0}]],
    ("stages", "rl", "objectives"): [[{"objective": "grpo"}], [{"objective": "reinforce"}]],
    ("stages", "rl", "aligner"): ["none", "stepwise"],
    ("stages", "rl", "depth"): ["argmax"],
    ("stages", "evaluate", "depth"): ["sample", 1, 99],
    ("stages", "evaluate", "decoder"): [{"use": "trie_beam", "width": 3}],
    ("stages", "evaluate", "exclude_history"): [True],
    ("stages", "evaluate", "beside"): [[], ["ease"], [{"use": "item_knn_directed", "window": 1}]],
    ("stages", "evaluate", "split"): ["validation"],
}
_NUMBERS: dict[Key, list[Any]] = {
    ("seed",): [2**32 - 1],
    ("stages", "ground", "optimizer", "lr"): [1e-30, 1e6, 1e30],
    ("stages", "ground", "optimizer", "clip"): [1e-30, 1e30],
    ("stages", "ground", "epochs"): [1e-9],
    ("stages", "reason", "optimizer", "lr"): [1e-30, 1e6, 1e30],
    ("stages", "reason", "align_weight"): [0.0, 1e30],
    ("stages", "reason", "policy_weight"): [0.0, 1e30],
    ("stages", "rl", "optimizer", "lr"): [1e-30, 1e6, 1e30],
    ("stages", "rl", "align_weight"): [0.0, 1e30],
    ("stages", "rl", "depth_cost"): [1e30],
    ("stages", "rl", "depth_lr"): [1e-30, 1e6],
    ("stages", "rl", "epochs"): [1e-9],
    ("stages", "rl", "patience"): [1],
    ("stages", "rl", "rewards"): [[{"reward": "rule", "weight": 0.0}], [{"reward": "rule", "weight": 1e30}]],
}
_TEXTS = [
    "",
    " \n ",
    "<a_0><b_1><|lat_s|><|lat_e|>",
    "Step 1:" * 200,
    "[/b] [pack of 2] :heart:",
    "\u202e\x1b[2J\x00 \ud7ff 🧴",
    "word " * 300,
]
_IDS = ["[/b]", "a,b", "a\nb", " ", "\u202e", "🧴", "<a_0>", "x" * 500, "\x1b[2J", "00", "0"]


def _changed(changes: dict[Key, Any], label: str, files: Files | None = None) -> Case:
    spec = copy.deepcopy(SMALL)
    for key, value in changes.items():
        put(spec, key, value)
    arguments = ("run", "s.yaml", "--output", OUTPUT)
    note = ", ".join(f"{'.'.join(map(str, key))} = {value!r:.60}" for key, value in changes.items())
    return Case(
        "whole run", label, arguments, {"s.yaml": spec_file(spec), **(files or {})}, "either", (), note
    )


@st.composite
def _several(draw: st.DrawFn, table: dict[Key, list[Any]], label: str) -> Case:
    keys = draw(st.lists(st.sampled_from(sorted(table, key=str)), min_size=1, max_size=4, unique=True))
    return _changed({key: draw(st.sampled_from(table[key])) for key in keys}, label)


def sizes() -> st.SearchStrategy[Case]:
    """One to four sizes at their ends: one of everything, or more than there is."""
    return _several(_SIZES, "sizes at their ends")


def parts() -> st.SearchStrategy[Case]:
    """One to four other components or choices, whether or not they go together."""
    return _several(_PARTS, "parts put together")


def numbers() -> st.SearchStrategy[Case]:
    """One to four rates and weights far too small or too large."""
    return _several(_NUMBERS, "rates and weights")


@st.composite
def odd_data(draw: st.DrawFn) -> Case:
    """A small shop with odd ids and texts, repeats, and few items."""
    items = [*draw(st.lists(st.sampled_from(_IDS), unique=True, max_size=6)), "i1", "i2", "i3"]
    texts = {item: draw(st.sampled_from(_TEXTS)) for item in items}
    log = [
        (f"u{user}", draw(st.sampled_from(items)), time)
        for user in range(8)
        for time in range(draw(st.integers(1, 7)))
    ]
    files = {
        "log.csv": _csv([("user", "item", "time"), *log]),
        "items.csv": _csv([("item", "title"), *texts.items()]),
    }
    dataset = {"use": "csv", "interactions": "log.csv", "items": "items.csv"}
    return _changed({("dataset",): dataset}, "odd ids and texts", files)


@st.composite
def odd_reasoning(draw: st.DrawFn) -> Case:
    """A teacher whose texts are odd, and missing for some prompts."""
    rows = [
        {
            "user": f"customer-{user:06d}",
            "end": end,
            "text": draw(st.sampled_from([*_TEXTS, "Step 1: a. Step 2: b."])),
        }
        for user in range(16)
        for end in range(1, 6)
        if draw(st.booleans())
    ]
    files = {"t.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}
    teacher = {"use": "jsonl", "path": "t.jsonl"}
    return _changed({("stages", "anchors", "teacher"): teacher}, "odd reasoning", files)


def _csv(rows: list[tuple[Any, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
