"""A backbone small enough to recompute path by path."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.backbone.qwen3.config import Qwen3Config

VOCABULARY = (*sid_tokens((4, 4)), *LATENT_TOKENS)


@cache
def _tiny(attention: str) -> Qwen3Backbone:
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


@pytest.fixture(scope="session")
def tiny() -> Callable[[str], Qwen3Backbone]:
    """A backbone in evaluation mode, by attention implementation."""
    return _tiny
