"""What is kept of runs: metrics as JSON, users' ranks beside, one run of each data set, system and seed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from lasar_kit.report.bootstrap import paired_bootstrap
from system_parts.listed import PROTOCOLS, STUDIES

Result = dict[str, Any]
Ranks = dict[str, UInt8[np.ndarray, "2 U"]]
"""By run and stage (`key`): each user's rank under both PROTOCOLS, 0 where the target was not listed."""


class Stored(NamedTuple):
    """`results` holds `runs` and `study`; `ranks` those of the runs that were made since ranks are kept."""

    results: Result
    ranks: Ranks


def key(run: Mapping[str, Any], stage: str) -> str:
    """What the ranks of a run's stage are called."""
    return f"{run['data']}/{run['name']}/{run['seed']}/{stage}"


def read(folder: Path) -> Stored:
    """What a folder holds, which may be nothing."""
    results, ranks = folder / "systems.json", folder / "systems_users.npz"
    kept: Ranks = {}
    if ranks.exists():
        with np.load(ranks, allow_pickle=False) as arrays:
            kept = dict(arrays.items())
    return Stored(json.loads(results.read_text()) if results.exists() else {"runs": [], "study": {}}, kept)


def add(folder: Path, runs: Sequence[Result], ranks: Ranks) -> None:
    """Store runs in a folder, each in the place of the one of its data set, system and seed."""
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        stored = merged(read(folder), runs, ranks)
        # The ranks first: metrics without ranks have no p-values, ranks without metrics are never read.
        _replace(folder / "systems_users.npz", stored.ranks)
        _replace(folder / "systems.json", stored.results)


def merged(stored: Stored, runs: Sequence[Result], ranks: Ranks) -> Stored:
    """Both together, in a fixed order; a study is made anew if a run of it is new."""
    kept = {_identity(run): run for run in stored.results["runs"]}
    new = {_identity(run): run for run in runs if run != kept.get(_identity(run))}
    together = kept | new
    replaced = {key(kept[one], stage) for one in kept.keys() & new.keys() for stage in kept[one]["stages"]}
    users = {name: own for name, own in stored.ranks.items() if name not in replaced} | ranks
    ordered = [together[one] for one in sorted(together)]
    study = {data: dict(own) for data, own in stored.results["study"].items()}
    for data, name in {(data, name) for data, name, _ in new if name in STUDIES}:
        own = [run for run in ordered if run["data"] == data and run["name"] == name]
        study.setdefault(data, {})[name] = compared(own, users, name)
    results = {"runs": ordered, "study": dict(sorted(study.items()))}
    return Stored(results, dict(sorted(users.items())))


def compared(runs: Sequence[Result], ranks: Ranks, name: str) -> Result:
    """Of a study's runs: p of each stage against the control, users' NDCG@10 the mean over seeds.

    A stage has a p-value if the users' ranks of all its runs are kept.
    """
    found: Result = {protocol: {} for protocol in PROTOCOLS}
    control, rows = STUDIES[name]
    for stage, (place, protocol) in product(rows, enumerate(PROTOCOLS)):
        both = [(key(r, stage), key(r, control)) for r in runs if stage in r["stages"]]
        if stage == control or not both or not all(own in ranks for pair in both for own in pair):
            continue
        own, other = (np.mean([ndcg(ranks[pair[i]][place]) for pair in both], axis=0) for i in (0, 1))
        found[protocol][stage] = paired_bootstrap(own, other, np.random.default_rng(0)).p_value
    return found


def ndcg(rank: UInt8[np.ndarray, " U"]) -> Float[np.ndarray, " U"]:
    """Each user's NDCG@10 of one target: 1 / log2(rank + 1), 0 behind the tenth place or unlisted."""
    hit = (rank > 0) & (rank <= 10)
    return np.where(hit, 1 / np.log2(np.where(hit, rank, 1) + 1.0), 0.0)


def _identity(run: Mapping[str, Any]) -> tuple[str, str, int]:
    return run["data"], run["name"], run["seed"]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Calls that store at once wait for each other."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: Path, content: Result | Ranks) -> None:
    """Write a whole file or none of it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        if path.suffix == ".npz":
            np.savez_compressed(file, allow_pickle=False, **content)
        else:
            file.write((json.dumps(content, indent=1) + "\n").encode())
    os.replace(partial, path)
