"""What `lasar-kit plugins check` sees to before it checks."""

from __future__ import annotations

import torch

from lasar_kit.errors import UserError
from lasar_kit.process.screen import quiet_libraries


def prepare(device: str) -> None:
    """Keep libraries off the screen; `UserError` for a device of no such name, or one that is not there."""
    quiet_libraries()
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device}: {str(error).splitlines()[0]}") from None
