"""The most memory that tensors hold at once, by the profiler's events."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.profiler import profile


def watching() -> Any:
    """A running profile of allocations."""
    watch = profile(profile_memory=True)
    watch.start()
    return watch


def peak(watch: Any) -> float:
    """Stop a profile: the most megabytes held, above what was held when it began."""
    watch.stop()
    events = [event for event in watch.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return float(np.cumsum([event.nbytes() for event in events]).max(initial=0)) / 2**20
