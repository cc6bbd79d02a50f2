"""Recordings of small runs: what `lasar-kit run` leaves of training, evaluation and weights, as JSON.

An exact recording holds every number as it came (JSON keeps each bit of a float) and a SHA-256 of what is
stored; one for any processor holds six digits, and no hash of floats.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from math import fsum, sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from lasar_kit.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ("index.json", "texts.jsonl")
"""Files that hold no float: semantic IDs, and a teacher's texts."""
SIGNLESS = "quantizer.safetensors"
"""Holds principal directions, each of which may come out turned round; the codes do not change with them."""
UNKEPT = ("unchanged_by", "exclude_history", "targets_in_history", "history_in", "history_out")
RANKERS = ("popularity", "item_knn")
Recording = dict[str, Any]


@cache
def table() -> dict[str, Any]:
    """The runs, as `runs.yaml` tells them."""
    return yaml.safe_load(Path(__file__).with_name("runs.yaml").read_text())  # type: ignore[no-any-return]


def overrides(row: Mapping[str, Any]) -> list[str]:
    """All changes of a row, `KEY=VALUE`, those of its own last."""
    shared = (change for name in row.get("with", ()) for change in table()["sets"][name])
    return [*shared, *row.get("set", ())]


def perform(name: str, folder: Path) -> Path:
    """Run a row of the table in a folder, beside those that ran before; its run folder."""
    row, run = table()["runs"][name], folder / name
    changes = overrides(row)
    if model := row.get("pretrained"):
        found = folder / model
        changes.append(f"backbone.pretrained={found if found.is_dir() else perform(model, folder)}/model")
    _lasar_kit(row["spec"], changes, run)
    return run


def show(spec: str, changes: Sequence[str], folder: Path) -> None:
    """Print what a spec resolves to, and a table of its stages behind an empty line."""
    _lasar_kit(spec, changes, folder, "--dry-run")


def _lasar_kit(spec: str, changes: Sequence[str], output: Path, *options: str) -> None:
    command = ["run", str(ROOT / spec), "--output", str(output), *options]
    for change in changes:
        command += ["--set", change]
    with pytest.raises(SystemExit) as done:
        main(command)
    assert done.value.code == 0


def recording(run: Path, stages: Sequence[str] | None) -> Recording:
    """Record what a run folder holds of the stages that are named, or of all."""

    def wanted(name: str) -> bool:
        return stages is None or name in stages

    folders = [folder for folder in sorted((run / "stages").iterdir()) if wanted(folder.name)]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    names = {file.relative_to(run / "stages").as_posix(): file for file in files}
    metrics = json.loads((run / "metrics.json").read_text()) if (run / "metrics.json").exists() else {}
    return {
        "log": {folder.name: list(_log(folder)) for folder in folders if (folder / "log.jsonl").exists()},
        "metrics": {name: _row(row) for name, row in metrics.items() if wanted(name)},
        "scores": {name: _scores(file) for name, file in names.items() if file.name == "predictions.jsonl"},
        "weights": {name: weights for name, file in names.items() if (weights := _weights(file))},
        "sha256": {name: _sha256(file) for name, file in names.items() if _repeats(file)},
    }


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The headline's numbers, which the other protocol's follow; of the rankers beside, which no training
    moves and which have tests of their own, the rates of two."""
    kept = {key: value for key, value in row.items() if key not in UNKEPT}
    if "baselines" in kept:
        beside = {name: row["baselines"][name] for name in RANKERS}
        kept["baselines"] = {
            name: {key: value for key, value in values.items() if "@" in key}
            for name, values in beside.items()
        }
    return kept


def _log(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a stage's log, but for what the clock says."""
    for line in (folder / "log.jsonl").read_text().splitlines():
        yield {key: value for key, value in json.loads(line).items() if key not in ("stage", "samples_per_s")}


def _scores(file: Path) -> list[float]:
    """Mean log-probability of all listed items, and of the first of each list."""
    lists = [json.loads(line)["scores"] for line in file.read_text().splitlines()]
    return [fmean(chain.from_iterable(lists)), fmean(scores[0] for scores in lists)]


def _tensors(file: Path) -> dict[str, np.ndarray]:
    if file.suffix == ".safetensors":
        return dict(sorted(load_file(file).items()))
    return {"": np.load(file)} if file.suffix == ".npy" else {}


def _weights(file: Path) -> dict[str, list[float]]:
    """Norm of each tensor of floats, and its product with a fixed wave, which tells its order and signs."""
    return {
        name: _summary(tensor.astype(np.float64).ravel())
        for name, tensor in _tensors(file).items()
        if tensor.dtype.kind == "f" and tensor.size
    }


def _summary(values: np.ndarray) -> list[float]:
    """Both sums exactly rounded: BLAS adds in an order that hangs on where an array lies in memory."""
    return [sqrt(fsum(values * values)), fsum(values * np.cos(np.arange(len(values))))]


def _repeats(file: Path) -> bool:
    """Whether it holds results alone: no time, key or version."""
    return file.suffix in (".safetensors", ".npy") or file.name in (*TEXTS, "predictions.jsonl")


def _sha256(file: Path) -> str:
    """Of a file's tensors by name, or of its bytes."""
    found = hashlib.sha256()
    for name, tensor in _tensors(file).items():
        found.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    if not _tensors(file):
        found.update(file.read_bytes())
    return found.hexdigest()


def for_any_processor(exact: Recording) -> Recording:
    """Six digits of each number, and the hashes of what holds no float."""
    texts = {name: found for name, found in exact["sha256"].items() if name.endswith(TEXTS)}
    weights = {name: found for name, found in exact["weights"].items() if not name.endswith(SIGNLESS)}
    return _rounded(exact | {"weights": weights, "sha256": texts})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items() if key != "by_depth"}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def written(exact: Recording) -> str:
    """JSON with a line for each update, metric's row, tensor and hash."""
    return _written(exact, 3, "")


def _written(value: Any, depth: int, indent: str) -> str:
    """JSON, what lies `depth` tables or lists deep on one line each."""
    if not depth or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    if isinstance(value, list):
        parts = [_written(part, 0, deeper) for part in value]
    else:
        parts = [f"{json.dumps(key)}: {_written(part, depth - 1, deeper)}" for key, part in value.items()]
    opened, closed = "[]" if isinstance(value, list) else "{}"
    return f"{opened}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{closed}"
