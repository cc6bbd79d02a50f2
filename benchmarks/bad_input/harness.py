"""A command line with bad input, run in this process, and what is held against what it does."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lasar_kit.cli.main import main
from lasar_kit.spec.yaml_source import dump
from lasar_kit.store.artifacts import MANIFEST, Artifact

OUTPUT = "out"
"""The one folder, beside the case's files, that a command may write to."""

WHOLE = {".lock", ".files.json", "spec.lock.yaml", "log.jsonl", "metrics.json", "predictions.jsonl"}
WHOLE |= {"model", "stages"}
"""The files and folders that a run leaves at its top."""

Files = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """A command line, and the files and symbolic links (to where) that it finds in its working directory.

    `group` is a format or a kind of specs, `label` the class of the mistake. `expect` says whether the input
    is wrong for certain, sound for certain, or either; `names` must stand in what is said of a wrong one, and
    `told` in what is said of any: where it is empty, no warning may be.
    """

    group: str
    label: str
    arguments: tuple[str, ...]
    files: Files = field(default_factory=dict, repr=False)
    expect: Literal["refused", "accepted", "either"] = "refused"
    names: tuple[str, ...] = ()
    note: str = ""
    links: dict[str, str] = field(default_factory=dict)
    told: tuple[str, ...] | None = None


class Hang(BaseException):
    """A command that took too long."""


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit code, None after a traceback or a hang, and what it printed."""

    code: int | None
    err: str
    trouble: str = ""
    out: str = ""


def spec_file(spec: dict[str, Any]) -> bytes:
    """A spec as a file; texts that have no UTF-8 are what they would be in a file of another encoding."""
    return dump(spec).encode("utf-8", "surrogatepass")


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def call(arguments: tuple[str, ...], folder: Path, seconds: float = 120) -> Said:
    """Run a command line in `folder`, as a process of its own would, but for the imports."""
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _limited(seconds):
            main(list(arguments))
    except SystemExit as ended:
        return Said(ended.code if isinstance(ended.code, int) else 1, err.getvalue(), out=out.getvalue())
    except Hang:
        return Said(None, err.getvalue(), f"no end within {seconds:g} s")
    except BaseException:
        return Said(None, err.getvalue(), traceback.format_exc())
    finally:
        os.chdir(before)
    raise AssertionError("main() exits")


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of all that is in a folder but the output, wherever that leads."""
    found, output = {}, os.path.realpath(folder / OUTPUT)
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(root, name)) != output]
        for name in (*folders, *files):
            stat = os.lstat(os.path.join(root, name))
            found[os.path.relpath(os.path.join(root, name), folder)] = (
                (0, 0) if name in folders else (stat.st_size, stat.st_mtime_ns)
            )
    return found


def half_written(output: Path) -> str | None:
    """Name what is not whole in the folder of a run, if anything."""
    if not output.is_dir():
        return None
    if extra := {path.name for path in output.iterdir() if not path.is_symlink()} - WHOLE:
        return f"left in the run: {sorted(extra)}"
    stages = output / "stages"
    for stage in sorted(stages.iterdir()) if stages.is_dir() and not stages.is_symlink() else ():
        # Work that the next run goes on with stays, by design.
        if not (stage.name.endswith(".work") or stage.is_symlink()) and Artifact.read(stage) is None:
            return (
                f"half a stage: {stage.name}, {sorted(p.name for p in stage.iterdir())}, no sound {MANIFEST}"
            )
    log = output / "log.jsonl"
    for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
        json.loads(line)
    return None


def judge(case: Case, folder: Path, seconds: float = 120) -> str | None:
    """Say what is wrong with the way a command took a case in an empty folder; None when nothing is."""
    for name, data in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for name, target in case.links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    before = _tree(folder)
    said = call(case.arguments, folder, seconds)
    if said.trouble:
        return said.trouble
    if said.code not in (0, 2):
        return f"exit code {said.code}: {said.err[-400:]}"
    if (folder_now := _tree(folder)) != before:
        changed = {name for name in folder_now.keys() | before if folder_now.get(name) != before.get(name)}
        return f"changed outside the output: {sorted(changed)[:5]}"
    if (half := half_written(folder / OUTPUT)) is not None:
        return half
    if case.expect != "either" and said.code != (2 if case.expect == "refused" else 0):
        return f"expected it {case.expect}, exit code {said.code}: {said.err[-400:]!r}"
    if case.told is not None and (silent := _silent(said, case.told)) is not None:
        return silent
    return _unclear(said, case) if said.code == 2 else None


def _silent(said: Said, told: tuple[str, ...]) -> str | None:
    """Name what should have been said and was not, or the other way round."""
    text = said.out + said.err
    if not told:
        return f"a warning of what is sound: {text[-400:]!r}" if "warning:" in text else None
    missing = [words for words in told if words not in text]
    return f"does not tell {missing}: {text[-400:]!r}" if missing else None


def _unclear(said: Said, case: Case) -> str | None:
    """Say what is unclear in the lines that tell of a mistake."""
    lines = said.err.removesuffix("\n").split("\n")
    for line in lines:
        if not line.strip():
            return f"an empty line among {lines[:5]}"
        if len(line) > 1200:
            return f"a line of {len(line)} characters: {line[:200]}"
        if not line.isprintable():
            return f"a line that cannot be shown: {line[:200]!r}"
    if "Traceback" in said.err:
        return said.err[-400:]
    missing = [name for name in case.names if name not in said.err]
    return f"does not name {missing[:5]}: {said.err[-400:]!r}" if missing else None


def timed(case: Case, folder: Path, seconds: float = 120) -> tuple[str | None, float]:
    """`judge`, and the seconds it took."""
    started = time.monotonic()
    return judge(case, folder, seconds), time.monotonic() - started
