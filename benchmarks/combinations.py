"""Runs combinations of components of all kinds: what `lasar-kit check` accepts, does `run` carry through?

python benchmarks/combinations.py                  # all pairs; writes benchmarks/results/combinations.json
python benchmarks/combinations.py --cases 100      # the first so many
python benchmarks/combinations.py --seed 1         # other combinations
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import tempfile
import time
import warnings
import importlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bad_input.harness import OUTPUT
from report import Result, Shown, machine, machine_text, main

from combined.case import Outcome, outcome
from combined.cover import Checker, Cover
from combined.values import Values
from combined.workshop import Workshop, workshop

RESULTS = Path(__file__).parent / "results" / "combinations.json"


LIBRARIES = ("torch._dynamo", "transformers.models.qwen3.modeling_qwen3", "accelerate", "sklearn.decomposition", "sklearn.cluster", "sklearn.feature_extraction.text", "scipy.stats", "peft", "lasar_kit.run.runner", "lasar_kit.train.updater", "lasar_kit.serve.explain", "lasar_kit.serve.recommend")


@contextmanager
def prepared() -> Iterator[Values]:
    """All values, in a folder with what some of them read."""
    with tempfile.TemporaryDirectory() as scratch, workshop(Path(scratch)) as place:
        values = Values.discover(place)
        (made := place.folder / "made").mkdir()
        found = outcome(values.spec({}, ("reason",)), made)
        assert found.result == "ran", found
        (made / OUTPUT).rename(place.folder / "run")
        yield values


def measure(args: argparse.Namespace) -> Result:
    warnings.simplefilter("ignore")
    for name in LIBRARIES:
        importlib.import_module(name)
    with prepared() as values:
        folder = values.workshop.folder
        cover = Cover(values, Checker(folder), args.seed)
        for number, one in enumerate(itertools.islice(cover, args.skip, args.cases)):
            case = folder / "case"
            case.mkdir()
            spec = values.spec(one.chosen, one.line)
            found = outcome(spec, case)
            if args.keep:
                with args.keep.open("a") as file:
                    file.write(json.dumps({"n": number + args.skip, "spec": spec, "chosen": sorted(map(str, one.chosen)), "left": len(cover.left), **vars(found)}) + "\n")
            print(number, found.result, found.seconds, len(cover.left), found.said[-300:], found.idle, flush=True)
            shutil.rmtree(case)
    return {}


def text(result: Result) -> str:
    return ""


def tables(result: Result) -> list[Shown]:
    return []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=None)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None)
    main(parser, RESULTS, measure, text, tables)
