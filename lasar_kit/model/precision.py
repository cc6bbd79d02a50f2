"""The number format of forward passes."""

from __future__ import annotations

import torch

from lasar_kit.spec.precision import Precision


def autocast(device: torch.device | str, precision: Precision) -> torch.autocast:
    """A context in which matrix products and attention run in `precision`; weights stay as they are.

    Entered around whole pieces of work, since an accelerator's own would hold for the whole process, and
    stages may differ.
    """
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")
