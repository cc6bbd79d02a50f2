"""Follows a tutorial page to the letter: writes its files, runs its commands, compares what they print.

A fence such as ```` ```python my_folder/file.py ```` is that file. In a ```` ```console ```` fence, lines
that begin with `$ ` are commands and the others what they print; `…` stands for anything, alone on a line for
any lines. A ```` ```console fails ```` fence holds commands that end with an error. Others are only read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess

from lasar_kit.cli.main import main

Run = Callable[[str, Path], CompletedProcess[str]]
_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class File:
    """A file to write."""

    path: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command, what it prints, and whether it succeeds."""

    line: str
    prints: str
    succeeds: bool


def steps(page: str) -> Iterator[File | Command]:
    """Yield the steps that a page has its reader do, in order."""
    for language, what, text in _FENCE.findall(page):
        if language != "console":
            if what:
                yield File(what, text)
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            line, _, prints = part.partition("\n")
            yield Command(line, prints, what != "fails")


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed, space at line ends aside."""
    lines = [line.rstrip() for line in shown.strip().splitlines()]
    anything = re.escape("…")
    pattern = ""
    for line in lines:
        pattern += r"(?:.*\n)*?" if line == "…" else re.escape(line).replace(anything, ".*?") + r"\n"
    text = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, text + "\n" if text else "") is not None


def follow(page: str, folder: Path, run: Run) -> int:
    """Do what a page says in a folder; the number of lines of the files that were written."""
    written = 0
    for step in steps(page):
        if isinstance(step, File):
            path = folder / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
            written += len(step.text.splitlines())
            continue
        done = run(step.line, folder)
        printed = done.stdout + done.stderr
        assert (done.returncode == 0) == step.succeeds, f"$ {step.line}\n{printed}"
        assert matches(step.prints, printed), f"$ {step.line}\n{printed}\nwhere the page shows\n{step.prints}"
    return written


def in_process(line: str, folder: Path) -> CompletedProcess[str]:
    """Run a command of a page, `lasar-kit …`, from a folder: by its own entry point, in this process."""
    program, *arguments = line.split()
    assert program == "lasar-kit"
    printed, wrong, code = StringIO(), StringIO(), 0
    with chdir(folder), redirect_stdout(printed), redirect_stderr(wrong):
        try:
            main(arguments)
        except SystemExit as ended:
            code = int(str(ended.code))
    return CompletedProcess(line, code, printed.getvalue(), wrong.getvalue())
