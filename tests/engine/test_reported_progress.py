"""A bar for work that tells how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lasar_kit.process.screen import Screen


def test_what_is_told_moves_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins with the first news, moves by what is new, and ends with the work."""
    seen: list[object] = []

    @contextmanager
    def progress(self: Screen, title: str, total: int) -> Iterator[object]:
        seen.append((title, total))
        yield lambda amount, note="": seen.append((amount, note))
        seen.append("end")

    monkeypatch.setattr(Screen, "progress", progress)
    with Screen(silent=True).reported("tokenize: fitting") as tell:
        tell({"cost": 0.5})
        assert seen == []
        for done in (2.0, 3.0, 7.0):
            tell({"done": done, "total": 10.0, "loss": 1 / done})
        tell({"done": 10.0, "total": 10.0})
    moves = [(2, "loss 0.5"), (1, "loss 0.3333"), (4, "loss 0.1429"), (3, "")]
    assert seen == [("tokenize: fitting", 10), *moves, "end"]


def test_work_that_tells_nothing_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Screen, "progress", lambda *_: pytest.fail("a bar was shown"))
    with Screen(silent=True).reported("quick") as report:
        assert report({"loss": 1.0}) is None
