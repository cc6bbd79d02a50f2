"""Means of the terms of the supervised loss over the last epoch, and terms that were 0 throughout."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from operator import mul
from typing import Any

from lasar_kit.train.updater import Term

Mean = Sequence[float]
"""The mean of a term in an update, and the number of things it is over."""


class TermMeans:
    """What terms were in each of the last `updates`, and of all so far how many things they counted."""

    def __init__(self, updates: int) -> None:
        self.recent: deque[Mapping[str, Mean]] = deque(maxlen=updates)
        self.counted: dict[str, float] = {}
        self.moved: set[str] = set()

    def add(self, means: Mapping[str, float], terms: Mapping[str, Term]) -> None:
        """Note an update: the mean of each term, and over how many things it was."""
        self.recent.append({name: (mean, terms[name].count) for name, mean in means.items()})
        for name, mean in means.items():
            self.counted[name] = self.counted.get(name, 0) + terms[name].count
            if mean:
                self.moved.add(name)

    @property
    def losses(self) -> dict[str, float]:
        """The mean of each term over all that it counted in these updates."""
        losses = {}
        for name in self.recent[-1] if self.recent else ():
            means, counts = zip(*(update[name] for update in self.recent), strict=True)
            losses[name] = sum(map(mul, means, counts)) / max(sum(counts), 1)
        return losses

    def idle(self, asked: Mapping[str, str], updates: int) -> Iterator[str]:
        """Lines on the terms that taught nothing, of those that the spec has `asked` for: places by name."""
        for name, place in asked.items():
            counted = self.counted.get(name)
            if counted is None or name in self.moved:
                continue
            what = "it found nothing to count" if not counted else f"over {counted:,.0f} things it counted"
            yield (
                f"{place}: its term, loss_{name} in the log, was 0 in each of {updates:,} updates ({what}), "
                "so it taught nothing; give it what it is about, or leave it out"
            )

    def memory(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {"recent": list(self.recent), "counted": self.counted, "moved": sorted(self.moved)}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` gave."""
        self.recent.extend(memory["recent"])
        self.counted, self.moved = dict(memory["counted"]), set(memory["moved"])
