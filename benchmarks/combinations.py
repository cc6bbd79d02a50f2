"""Runs combinations of components of all kinds: what `lasar-kit check` accepts, does `run` carry through?

python benchmarks/combinations.py --cases 300      # writes benchmarks/results/combinations.json
python benchmarks/combinations.py --seed 1         # other combinations
python benchmarks/combinations.py --table          # prints the table that docs/errors.md shows

A place is where a component stands in a spec of all stages, or where a name, a truth value or one of a few
sizes does; what may stand there is read off the catalogue. Combinations are put together so that pairs of
values which none before had stand in them, with options of components drawn, and all that `check` refuses is
left out. Each then runs to its end on a small shop, is asked by `recommend` and `explain`, and is watched: a
traceback, an exit code other than 0 or 2, a number that is none, or a listed objective that is 0 throughout
with no warning of why is a defect. A run may refuse data that `check` does not read.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bad_input.harness import OUTPUT
from combined.case import Outcome, outcome
from combined.cover import Checker, Combination, Cover, Pair
from combined.values import Values
from combined.workshop import workshop
from report import Result, Shown, machine, machine_text, main

RESULTS = Path(__file__).parent / "results" / "combinations.json"
LIBRARIES = (
    *("torch._dynamo", "transformers.models.qwen3.modeling_qwen3", "accelerate", "peft", "scipy.stats"),
    *("sklearn.decomposition", "sklearn.cluster", "sklearn.feature_extraction.text"),
    *("lasar_kit.run.runner", "lasar_kit.train.updater", "lasar_kit.serve.explain"),
)
"""Loaded once; each case is a fork."""
TOLD = ("never thinks", "does not think", "taught nothing")
"""What a warning says where an objective has nothing to be about: of the spec, and of the data."""


@contextmanager
def prepared() -> Iterator[Values]:
    """All values, in a folder with what some of them read."""
    for name in LIBRARIES:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as scratch, workshop(Path(scratch)) as place:
        values = Values.discover(place)
        (made := place.folder / "made").mkdir()
        found = outcome(values.spec({}, ("reason",)), made)
        assert found.result == "ran", found
        (made / OUTPUT).rename(place.folder / "run")
        yield values


def tried(values: Values, one: Combination) -> Outcome:
    """How one of them goes, in a folder that is then gone."""
    (case := values.workshop.folder / "case").mkdir()
    try:
        return outcome(values.spec(one.chosen, one.line), case)
    finally:
        shutil.rmtree(case)


def untold(found: Outcome) -> list[str]:
    """Objectives that were 0 throughout, where no warning says why."""
    why = any(words in line for line in found.warnings for words in TOLD)
    return [] if why else [part for part in found.idle if "objective" in part]


def measure(args: argparse.Namespace) -> Result:
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    troubles: list[dict[str, Any]] = []
    told: Counter[str] = Counter()
    ran: set[Pair] = set()
    with prepared() as values:
        cover = Cover(values, Checker(values.workshop.folder), args.seed)
        for one in itertools.islice(cover, args.cases):
            found = tried(values, one)
            silent = untold(found)
            kind = "defect" if silent else found.result
            counts[kind] += 1
            if kind == "ran":
                ran |= one.pairs()
            elif kind == "refused":
                told[found.said.splitlines()[0].replace(str(values.workshop.folder), "FOLDER")] += 1
            else:
                said = (found.said or "; ".join(silent))[-600:]
                troubles.append({"chosen": sorted(map(str, one.chosen)), "said": said})
            print(sum(counts.values()), kind, found.seconds, found.said[-200:], flush=True)
        return {
            **machine(),
            "seed": args.seed,
            "cases": sum(counts.values()),
            "counts": dict(counts),
            "places": len(values.places),
            "values": sum(map(len, values.places.values())),
            "pairs": len(cover.pairs),
            "pairs_ran": len(ran),
            "pairs_refused": len(cover.refused),
            "refused_by_run": dict(told),
            "troubles": troubles,
        }


def text(result: Result) -> str:
    share = result["pairs_ran"] / result["pairs"]
    return (
        f"{result['cases']:,} combinations of {result['values']} values at {result['places']} places, seed "
        f"{result['seed']}: {share:.0%} of {result['pairs']:,} pairs ran, {result['pairs_refused']} of those "
        f"that were tried are refused by `check`; {len(result['troubles'])} defects "
        f"({machine_text(result)})."
    )


def tables(result: Result) -> list[Shown]:
    """Combinations by how they went."""
    rows = [
        ("ran to the end", "ran"),
        ("refused by `run` for the data", "refused"),
        ("traceback, hang, no number, or silent", "defect"),
    ]
    return [(("went", "combinations"), [(label, str(result["counts"].get(kind, 0))) for label, kind in rows])]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=300, help="combinations at most")
    main(parser, RESULTS, measure, text, tables)
