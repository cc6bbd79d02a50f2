"""A teacher's texts, kept as they come: what a cut leaves of them is not asked for again."""

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lasar_kit.core.dataset import Dataset, Sequences
from lasar_kit.errors import UserError
from lasar_kit.process.signals import Stopped
from lasar_kit.spec import TeacherConfig
from lasar_kit.stages.sft import stage as sft
from lasar_kit.train.teacher_texts import TextLog

LINES = (80, 44)
"""Bytes of the first lines that the next test writes."""


@given(st.integers(0, 400) | st.sampled_from([LINES[0] - 1, sum(LINES) - 1]), st.binary(max_size=6))
@example(LINES[0] - 1, b"")  # all of a line but its end
def test_a_log_cut_off_anywhere_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, size: int, rest: bytes
) -> None:
    path = tmp_path_factory.mktemp("log") / "segments.jsonl"
    rows: dict[int, tuple[str | None, list[str]]] = {
        4: ("Zwei – drei\n\ud800", ["Zwei", "drei"]),
        0: (None, []),
        2: ("x" * 150, ["x"] * 3),
    }
    ends = {}
    with TextLog(path, 5) as log:
        for prompt, (text, segments) in rows.items():
            log.add(prompt, text, segments)
            ends[prompt] = path.stat().st_size
    written = path.read_bytes()
    left = written[:size] + rest
    path.write_bytes(left)
    assert list(ends.values())[:2] == [LINES[0], sum(LINES)]
    expected = [prompt for prompt, end in ends.items() if left[:end] == written[:end]]
    with TextLog(path, 5) as log:
        assert log.missing == sorted(set(range(5)) - set(expected))
        assert all(log[prompt] == rows[prompt] for prompt in expected)
        log.add(1, "more", ["more"])
    with TextLog(path, 5) as log:
        assert log[1] == ("more", ["more"])
        assert log.counts.tolist() == [len(rows[n][1]) if n in expected else int(n == 1) for n in range(5)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stopped(signal.SIGTERM), UserError("gone")])
def test_no_text_may_be_a_failure_until_the_teacher_is_done(tmp_path: Path, error: BaseException) -> None:
    def answers(cut: bool) -> Iterator[tuple[int, str | None]]:
        yield from ((0, "one"), (1, None))
        if cut:
            raise error
        yield 2, "three"

    path = tmp_path / "segments.jsonl"
    with TextLog(path, 3) as log, pytest.raises(type(error)):
        log.fill(answers(cut=True), str.split)
    with TextLog(path, 3) as log:
        assert log.missing == [1, 2]
        log.fill((answer for answer in answers(cut=False) if answer[0]), str.split)
        assert log.missing == []
    with TextLog(path, 3) as log:
        assert [log[prompt] for prompt in range(3)] == [("one", ["one"]), (None, []), ("three", ["three"])]


def test_texts_that_a_training_stage_asks_for_are_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def teach(context: object, config: object, data: object, windows: object, wanted: list[int]) -> Any:
        for prompt in wanted:
            asked.append(prompt)
            if len(asked) == 3:
                raise KeyboardInterrupt
            yield prompt, None if prompt == 1 else f"text {prompt}"

    def written() -> list[tuple[int, int, str]]:
        """User and number of items of each window, and its text; by an object of its own, as of a new run."""
        dataset = Dataset(("a", "b"), pl.DataFrame(), Sequences.of([[1, 2, 3, 4, 5], [6, 7, 8, 9, 1]]))
        context = SimpleNamespace(work=tmp_path / "work", spec=SimpleNamespace(max_history=5, seed=0))
        found = sft._Written(context, dataset)(TeacherConfig(use="x"), "sliding", 0)  # type: ignore[arg-type]
        return [(window.user, len(window), text) for window, text in found]

    monkeypatch.setattr(sft, "ask_teacher", teach)
    with pytest.raises(KeyboardInterrupt):
        written()
    told = [(0, 2, "text 0"), (1, 2, "text 2"), (1, 3, "text 3")]
    assert written() == told
    assert asked == [0, 1, 2, 1, 2, 3]
    assert written() == told
    assert len(asked) == 6
