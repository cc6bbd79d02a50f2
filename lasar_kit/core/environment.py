"""The surroundings that a component of each kind is built with, in runs and in its contract alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lasar_kit.core.values import Env

ALWAYS = ("seed", "device", "report", "build")
"""Given to every component."""

GIVEN: Mapping[str, tuple[str, ...]] = {
    "dataset": (),
    "text_encoder": ("items", "item_vectors", "catalogue"),
    "quantizer": ("items", "train"),
    "backbone": ("items", "vocabulary", "corpus", "checkpoint"),
    "prompt": (),
    "latent_loop": ("hidden_size", "tokenizer", "vocabulary", "head", "frozen", "items", "table"),
    "depth_policy": ("hidden_size",),
    "aligner": ("hidden_size", "head", "frozen_head"),
    "sft_objective": (
        "hidden_size",
        "tokenizer",
        "vocabulary",
        "head",
        "frozen_head",
        "items",
        "item_vectors",
        "train",
        "max_history",
        "table",
        "written",
        "catalogue",
    ),
    "rl_objective": ("items", "table"),
    "decoder": ("items", "train", "table", "head", "hidden_size", "catalogue"),
    "stage": (),
    "teacher": (),
    "segmenter": (),
    "reward": ("items", "train", "table", "tokenizer"),
    "ranker": ("catalogue",),
    "hook": (),
}
"""Fields of `Env` that a component of a kind is given besides those that all are."""


def given(kind: str, whole: Env) -> Env:
    """Return the part of `whole` that a component of a kind is given."""
    values: dict[str, Any] = {name: getattr(whole, name) for name in (*ALWAYS, *GIVEN[kind])}
    return Env(**values)
