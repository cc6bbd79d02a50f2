"""A backbone small enough to recompute path by path."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config
from tests.closeness import in_float64

VOCABULARY = (*sid_tokens((4, 4)), *LATENT_TOKENS)


def _built(attention: str) -> Qwen3Backbone:
    config = Qwen3Config(
        use="qwen3",
        hidden_size=16,
        layers=2,
        heads=4,
        kv_heads=2,
        text_vocabulary=259,
        initializer_std=0.3,
        attention=attention,
    )
    return Qwen3Backbone(config, Env(seed=3, vocabulary=VOCABULARY)).eval()


@cache
def _tiny(attention: str) -> Qwen3Backbone:
    return _built(attention)


@cache
def _double(attention: str) -> Qwen3Backbone:
    backbone: Qwen3Backbone = in_float64(_built(attention))
    return backbone


@pytest.fixture(scope="session")
def tiny() -> Callable[[str], Qwen3Backbone]:
    """A backbone in evaluation mode, by attention implementation."""
    return _tiny


@pytest.fixture(scope="session")
def double() -> Callable[[str], Qwen3Backbone]:
    """The same in float64 throughout."""
    return _double
