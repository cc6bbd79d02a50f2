"""A combination, checked and run to its end in a process of its own, and what is held against it."""

from __future__ import annotations

import faulthandler
import json
import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bad_input.harness import OUTPUT, call, half_written, spec_file

from combined.watch import Watch

LIMIT = 120.0
"""Seconds that a case may take."""


@dataclass(frozen=True)
class Outcome:
    """How a case went: `ran`, `refused` (by the run, in clear lines, on data that `check` does not read) or
    `defect`; what was said; warnings, of `check` and of stages; parts without effect."""

    result: str
    said: str = ""
    warnings: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    seconds: float = 0.0


def outcome(spec: Mapping[str, Any], folder: Path) -> Outcome:
    """Run a spec in a fork of this process, in an empty folder."""
    started = time.monotonic()
    child = os.fork()
    if not child:
        _child(spec, folder)
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() - started > LIMIT + 10:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    seconds = round(time.monotonic() - started, 1)
    hung = (folder / "hangs.txt").read_text()
    written = folder / "outcome.json"
    if not written.is_file():
        code = os.waitstatus_to_exitcode(ended[1])
        return Outcome("defect", f"the process ended with {code}\n{hung}", (), (), seconds)
    told = json.loads(written.read_text())
    return Outcome(told["result"], told["said"] + hung, tuple(told["warnings"]), tuple(told["idle"]), seconds)


def _child(spec: Mapping[str, Any], folder: Path) -> None:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        with (folder / "hangs.txt").open("w") as file:
            faulthandler.dump_traceback_later(LIMIT - 1, file=file)
            told = asdict(_judged(spec, folder))
            faulthandler.cancel_dump_traceback_later()
        (folder / "outcome.json").write_text(json.dumps(told))
    except BaseException:
        (folder / "outcome.json").write_text(
            json.dumps({"result": "defect", "said": traceback.format_exc(), "warnings": [], "idle": []})
        )
    finally:
        os._exit(0)


def _end_with(parent: int) -> None:
    """Outlive no parent, which may be killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _judged(spec: Mapping[str, Any], folder: Path) -> Outcome:
    (folder / "s.yaml").write_bytes(spec_file(dict(spec)))
    checked = call(("check", "s.yaml"), folder, LIMIT)
    warnings = tuple(line for line in checked.err.splitlines() if line.startswith("warning:"))
    if checked.trouble or checked.code != 0:
        return Outcome("defect", f"check: {checked.trouble or checked.err}", warnings)
    with Watch() as watch:
        ran = call(("run", "s.yaml", "--output", OUTPUT), folder, LIMIT)
    warnings = tuple(dict.fromkeys((*warnings, *_warned(ran.err), *_warned(ran.out))))
    if ran.trouble or ran.code not in (0, 2):
        return Outcome("defect", ran.trouble or f"exit code {ran.code}: {ran.err}", warnings)
    if (half := half_written(folder / OUTPUT)) is not None:
        return Outcome("defect", half, warnings)
    if ran.code == 2:
        lines = [line for line in ran.err.splitlines() if not line.startswith("warning:")]
        return Outcome("refused", "\n".join(lines), warnings)
    if wrong := next(_not_finite(folder / OUTPUT), None):
        return Outcome("defect", wrong, warnings)
    asked = _asked(folder)
    if asked:
        return Outcome("defect", asked, warnings)
    idle = (*watch.idle(), *_silent_terms(spec, folder / OUTPUT))
    return Outcome("ran", "", (*warnings, *_reported(folder / OUTPUT)), idle)


def _warned(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip().startswith("warning:"))


def _reported(output: Path) -> Iterator[str]:
    """What stages say of themselves in their reports."""
    for path in sorted(output.glob("stages/*/artifact.json")):
        yield from json.loads(path.read_text())["report"].get("warnings", ())


def _asked(folder: Path) -> str | None:
    """What is wrong with the answers of the finished run."""
    first = json.loads((folder / OUTPUT / "predictions.jsonl").read_text().splitlines()[0])
    ids = ",".join(first["items"][:2])
    for command in (("recommend", "-k", "3"), ("explain", "-k", "3")):
        said = call((command[0], OUTPUT, "--history", ids, *command[1:]), folder, LIMIT)
        if said.trouble or said.code != 0:
            return f"{command[0]}: {said.trouble or said.err}"
    return None


def _not_finite(output: Path) -> Iterator[str]:
    """Numbers of the log and of the metrics that are none."""
    for number, line in enumerate((output / "log.jsonl").read_text().splitlines(), start=1):
        yield from (f"log.jsonl:{number}: {key} is {value}" for key, value in _odd(json.loads(line)))
    metrics = json.loads((output / "metrics.json").read_text())
    yield from (f"metrics.json: {key} is {value}" for key, value in _odd(metrics))


def _odd(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield key, value
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    for name, part in parts:
        yield from _odd(part, f"{key}.{name}")


def _silent_terms(spec: Mapping[str, Any], output: Path) -> Iterator[str]:
    """Objectives that a stage of SFT lists, and that are 0 at every update, so that they teach nothing."""
    listed = {
        entry["objective"]["use"]
        for entry in spec["stages"].get("reason", {}).get("objectives", ())
        if entry["objective"].get("aligner", {}).get("use") != "none"
    }
    seen: dict[str, list[float]] = {}
    for line in map(json.loads, (output / "log.jsonl").read_text().splitlines()):
        for key, value in line.items():
            if key.startswith("loss_") and line["stage"] == "reason":
                seen.setdefault(key.removeprefix("loss_"), []).append(value)
    for name, values in seen.items():
        if name in listed and not any(values):
            yield f"reason: objective {name} is 0 throughout"
