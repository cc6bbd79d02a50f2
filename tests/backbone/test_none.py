"""The loop that does not think."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from lasar_kit.core.interfaces import DepthPolicy, LatentLoop
from lasar_kit.core.values import Env
from lasar_kit.testing.strategies import prompt_of
from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
from lasar_plugins.depth_policy.none.config import NoDepthConfig
from lasar_plugins.depth_policy.none.policy import NoDepth
from lasar_plugins.latent_loop.none.config import NoLoopConfig
from lasar_plugins.latent_loop.none.loop import NoLoop


def test_prompt_passes_through(tiny: Callable[[str], Qwen3Backbone]) -> None:
    prompt = replace(prompt_of(torch.randn(2, 3, 5)), tip=torch.tensor([[1, 2, 3], [4, 5, 6]]))
    loop = NoLoop(NoLoopConfig(use="none"), Env())
    trace = loop.run(tiny("sdpa"), prompt, torch.zeros(2, 3, dtype=torch.int64), 0)
    assert isinstance(loop, LatentLoop)
    assert trace.last is prompt.h0
    assert trace.tip is prompt.tip
    assert trace.context is prompt.context
    assert trace.states.shape == (2, 3, 0, 5)
    assert trace.mask.shape == (2, 3, 0)
    assert trace.mask.dtype == torch.bool


def test_depth_has_one_choice() -> None:
    policy = NoDepth(NoDepthConfig(use="none"), Env())
    assert isinstance(policy, DepthPolicy)
    assert policy.support == (0,)
    assert torch.equal(policy.logits(prompt_of(torch.randn(2, 3, 5))), torch.zeros(2, 3, 1))
