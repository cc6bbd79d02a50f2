"""Numbers read off an accelerator together, since each reading waits for all work before it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor


def read(values: Mapping[str, Shaped[Tensor, ""]]) -> dict[str, float]:
    """Each as a float, all in one transfer."""
    if not values:
        return {}
    found = torch.stack([value.detach().float() for value in values.values()]).tolist()
    return dict(zip(values, found, strict=True))
