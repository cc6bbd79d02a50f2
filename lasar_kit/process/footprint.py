"""Footprint of an artifact: versions, device, peak memory of this process."""

from __future__ import annotations

import platform
import resource
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("lasar-kit", "torch", "transformers", "numpy")
"""Distributions whose versions may change a result."""


def reset_peaks() -> None:
    """Count peak memory from here on: where the system can (Linux), that of the process; that of a GPU."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def made_with(processes: int) -> dict[str, Any]:
    """Versions, device, processes, and the peaks since `reset_peaks` in MiB, ready for JSON.

    `device_memory` is there on a GPU alone. Both are of this process; others take about as much.
    """
    cuda = _cuda()
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": {name: held for name in PACKAGES if (held := _version(name))},
        "device": cuda.get_device_name() if cuda is not None else platform.machine(),
        "processes": processes,
        "memory": _peak(),
    }
    if cuda is not None:
        facts["device_memory"] = round(cuda.max_memory_allocated() / 2**20)
    return facts


def _peak() -> int:
    """Peak resident memory in MiB; since the process began where it cannot be reset."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _cuda() -> Any:
    """torch.cuda where it is in use; a process that has not loaded torch has used no GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return torch.cuda
