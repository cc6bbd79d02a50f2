"""Rollouts of random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from lasar_kit.core.values import Rollout


@pytest.fixture(autouse=True)
def _every_warning() -> Iterator[None]:
    """Torch tells some warnings once a process, and so would hide them from all tests but the first."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


def random_rollout(
    seed: int = 0, rows: int = 5, group: int = 4, levels: int = 3, spread: float = 0.4, **given: Any
) -> Rollout:
    """Old and reference policy `spread` away from the policy; three depths 1..3; fields may be given."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    logp = -noise(rows, group, levels).abs()
    index = torch.randint(0, 3, (rows,), generator=generator)
    fields = {
        "logp": logp,
        "old_logp": logp + spread * noise(rows, group, levels),
        "ref_logp": logp + spread * noise(rows, group, levels),
        "rewards": noise(rows, group),
        "valid": torch.ones(rows, group, dtype=torch.bool),
        "depth": index + 1,
        "depth_logp": noise(rows, 3).log_softmax(-1),
        "depth_index": index,
        "world_reward": torch.tensor(0.1),
    }
    return Rollout(**(fields | given))


@pytest.fixture(scope="session")
def rollout() -> Callable[..., Rollout]:
    """Makes a `random_rollout`."""
    return random_rollout
