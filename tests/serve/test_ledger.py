"""The log of a catalogue: what was acknowledged is there after a kill, whoever reads and whenever."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.errors import UserError
from lasar_kit.serve.live import ledger as module
from lasar_kit.serve.live.ledger import Added, Change, Ledger, State, Unwritable


def item(name: str) -> Added:
    return Added({"id": name, "title": f"Thing\r\n \u2028 {name} 'é'"}, (1, 2))


def add(ledger: Ledger, *names: str, **more: Any) -> None:
    with ledger.writing():
        ledger.append(Change([item(name) for name in names], **more))


def read(path: Path, key: str = "k") -> State:
    found = Ledger(path, key)
    found.read()
    return found.state


def write_on(path: Path, told: Connection) -> None:
    """Add items without end, three and one by turns, and tell of each that is done."""
    ledger = Ledger(path, "k")
    with ledger.writing():
        number = len(ledger.state.added)
    while True:
        names = [f"i{number + place}" for place in range(3 if number % 4 == 0 else 1)]
        told.send(("begin", names))
        add(ledger, *names)
        with ledger.writing():
            ledger.put_together(5)
        told.send(("done", names))
        number += len(names)


@pytest.mark.parametrize("after", [1, 6, 13, 20])
def test_after_a_kill_the_log_holds_what_was_acknowledged(tmp_path: Path, after: int) -> None:
    """Twice at each of these places; what was begun and not told is there whole or not at all."""
    path, done = tmp_path / "log", list[str]()
    for _ in range(2):
        mine, theirs = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=write_on, args=(path, theirs))
        child.start()
        theirs.close()
        for _ in range(after):
            mine.recv()
        os.kill(child.pid, signal.SIGKILL)  # type: ignore[arg-type]
        child.join()
        told = [done]
        while True:
            try:
                state, names = mine.recv()
            except EOFError:
                break
            told.append(names) if state == "begin" else None
        found = [one.fields["id"] for one in read(path).added]
        assert found[: len(done)] == done
        assert all(one == item(one.fields["id"]) for one in read(path).added)
        done = found


def test_acknowledged_is_written(tmp_path: Path) -> None:
    """Each line is there, and on the disk, before `append` returns."""
    path, synced = tmp_path / "log", list[int]()
    ledger = Ledger(path, "k")
    real = os.fsync
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.os, "fsync", lambda file: (real(file), synced.append(os.fstat(file).st_size)))
        add(ledger, "a")
        add(ledger, "b")
        assert path.stat().st_size == synced[-1]
    assert [one.fields["id"] for one in read(path).added] == ["a", "b"]


@given(cut=st.integers(1, 400), garbage=st.binary(max_size=8))
@settings(max_examples=15)
def test_a_line_that_was_cut_off_is_as_none_and_gives_way(
    tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    ledger = Ledger(path, "k")
    add(ledger, "a")
    whole = path.read_bytes()
    add(ledger, "b", "c")
    line = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + line[: min(cut, len(line) - 1)] + garbage.replace(b"\n", b"?"))
    assert [one.fields["id"] for one in read(path).added] == ["a"]
    add(Ledger(path, "k"), "d")
    assert [one.fields["id"] for one in read(path).added] == ["a", "d"]
    assert path.read_bytes().count(b"\n") == 3


def test_what_is_damaged_before_the_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ledger = Ledger(path, "k")
    for name in "abc":
        add(ledger, name)
    path.write_bytes(path.read_bytes().replace(b"Thing", b"Think", 1))
    with pytest.raises(UserError, match=r"log:2: is damaged, and more follows"):
        read(path)
    add(Ledger(tmp_path / "other", "k"), "a")
    with pytest.raises(UserError, match="belongs to other semantic IDs"):
        read(tmp_path / "other", "another key")


def test_a_disk_that_is_full_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    ledger = Ledger(path, "k")
    add(ledger, "a")
    before = path.read_bytes()

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        with pytest.raises(Unwritable, match="cannot be written: No space left on device"):
            add(ledger, "b")
        with ledger.writing():
            ledger.put_together(0)
    assert path.read_bytes() == before
    add(ledger, "c")
    assert [one.fields["id"] for one in read(path).added] == ["a", "c"]


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["add", "withdraw", "restore", "together", "read"])),
    max_size=25,
)


@given(operations=OPERATIONS)
@settings(max_examples=25)
def test_processes_that_take_turns_agree(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[int, str]]
) -> None:
    """Three ledgers of one log, against a list and a set by hand."""
    path = tmp_path_factory.mktemp("log") / "log"
    ledgers = [Ledger(path, "k") for _ in range(3)]
    added: list[str] = []
    gone: list[str] = []
    for who, what in operations:
        ledger = ledgers[who]
        if what == "read":
            ledger.read()
            assert not ledger.stale()
            assert [one.fields["id"] for one in ledger.state.added] == added
            assert list(ledger.state.withdrawn) == gone
            continue
        with ledger.writing():
            if what == "add":
                added.append(f"i{len(added)}")
                ledger.append(Change([item(added[-1])]))
            elif what == "withdraw" and len(added) > len(gone):
                gone.append(next(name for name in added if name not in gone))
                ledger.append(Change(withdrawn=gone[-1:]))
            elif what == "restore" and gone:
                ledger.append(Change(restored=[gone.pop(0)]))
            elif what == "together":
                ledger.put_together(1)
                assert not path.exists() or path.read_bytes().count(b"\n") <= 2
    for ledger in [*ledgers, Ledger(path, "k")]:
        ledger.read()
        assert [one.fields["id"] for one in ledger.state.added] == added
        assert list(ledger.state.withdrawn) == gone
