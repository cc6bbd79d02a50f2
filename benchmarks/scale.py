"""What a run costs by the size of its data: seconds and peak memory of each stage, from files to answers.

    python benchmarks/scale.py --rows 100000 1000000    measure, print, add to benchmarks/results/scale.json
    python benchmarks/scale.py --table                  print the tables of docs/scale.md from that file

A shop is generated (`big_shop.py`) as reviews and metadata in the layout of Amazon's dumps and as CSV, ten
interactions an item. Each stage runs in a process of its own, which finds the stages before it done. Seconds
are of the processor, from a stage's start to its end, as other work on the machine changes these less;
memory is the largest resident set of the process by then, torch and all. SFT makes a bounded number of
updates, and an epoch is their time by the number that it would have; users and prompts that are asked about
are drawn. What is measured is written as it comes, over what was measured of that size before.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import big_shop
import polars as pl
import torch
import yaml
from report import Result, Shown, machine, machine_text, main

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.hookspecs import hookimpl
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_plugins.quantizer.rq_kmeans.config import RqKmeansConfig
from lasar_plugins.quantizer.rq_kmeans.quantizer import RqKmeans
from lasar_plugins.text_encoder.tfidf_svd.config import TfidfSvdConfig
from lasar_plugins.text_encoder.tfidf_svd.encoder import TfidfSvdEncoder

RESULT = Path(__file__).parent / "results" / "scale.json"
SOURCES: dict[str, dict[str, Any]] = {
    "amazon_reviews": {"reviews": "reviews.json.gz", "metadata": "metadata.json.gz"},
    "csv": {"interactions": "events.csv", "items": "products.csv", "repeats": "first"},
}
WRITE = {"amazon_reviews": big_shop.write_amazon, "csv": big_shop.write_csv}
STAGES: dict[str, dict[str, Any]] = {
    "ids": {"use": "tokenize", "quantizer": "item_id"},
    "tokenize": {
        "use": "tokenize",
        "text_encoder": {"use": "tfidf_svd", "dimensions": 128, "fit_items": 20_000},
        "quantizer": {"use": "rq_kmeans", "levels": 4, "codes": 256, "batch_items": 1024},
    },
    "ground": {"use": "sft", "samples": "packed", "score": "trie", "eval_users": 100, "eval_width": 10},
    "evaluate": {"use": "evaluate"},
    "anchors": {"use": "anchors"},
    "more_anchors": {"use": "anchors"},
}
IMPORTED = [
    "lasar_kit.run.runner",
    "lasar_kit.report.observers",
    "lasar_kit.stages.tokenize.stage",
    "lasar_kit.stages.sft.stage",
    "lasar_kit.stages.evaluate.stage",
    "lasar_kit.stages.anchors.stage",
    "lasar_plugins.backbone.qwen3.backbone",
    "lasar_plugins.text_encoder.tfidf_svd.encoder",
    "lasar_plugins.quantizer.rq_kmeans.quantizer",
]
TOLD = {
    *("users", "items", "interactions", "samples", "prompts", "megabytes", "updates", "epochs"),
    *("relative_error", "relative_error_resolved"),
}
"""What is kept of a stage's report."""
SHOWN = {
    "amazon_reviews": "load, k-core: `amazon_reviews`",
    "csv": "load, k-core: `csv`",
    "tokenize": "tokenize",
    "ground": "SFT, {updates} updates",
    "evaluate": "evaluate {users} users",
    "anchors": "anchors of {prompts} prompts",
    "more_anchors": "anchors of {more} prompts",
}


class Clock:
    """Processor's seconds and peak memory of the stages that a process runs."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, Any]] = {}
        self.began, self.logged = 0.0, list[tuple[int, float]]()

    @hookimpl(trylast=True)
    def lasar_stage_start(self) -> None:
        self.began = time.process_time()

    @hookimpl
    def lasar_step_end(self, step: int, metrics: Any) -> None:
        if "loss" in metrics:
            self.logged.append((step, time.process_time()))

    @hookimpl(tryfirst=True)
    def lasar_stage_end(self, stage: Any, report: Any) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = round(time.process_time() - self.began, 2)
        told = {name: value for name, value in report.items() if name in TOLD}
        found = {"seconds": seconds, "megabytes": round(peak), "report": told}
        if len(self.logged) > 1:
            (first, then), (last, now) = self.logged[0], self.logged[-1]
            found["update_seconds"] = (now - then) / (last - first)
        self.stages[stage.name] = found


def spec(source: str, stages: tuple[str, ...], sizes: dict[str, Any]) -> dict[str, Any]:
    """A run of these stages."""
    own = {name: STAGES[name] | sizes.get(name, {}) for name in stages}
    return {
        "name": "scale",
        "dataset": {"use": source, "k_core": 5, **SOURCES[source]},
        "backbone": {"use": "qwen3", "hidden_size": 64, "layers": 2, "heads": 2, "text_vocabulary": 512},
        "prompt": "sid_only",
        "decoder": {"use": "trie_beam", "width": 20, "score": "trie"},
        "stages": own,
    }


def run(folder: str, run_of: dict[str, Any], told: Any) -> None:
    """Run a spec in this process, and tell what its stages took."""
    file = Path(folder) / "scale.yaml"
    file.write_text(yaml.safe_dump(run_of, sort_keys=False))
    catalogue, clock = Catalogue.discover(), Clock()
    catalogue.load_hooks()
    catalogue.hooks.register(clock)
    output = Path(folder) / f"run_{run_of['dataset']['use']}"
    runner.run_spec(load_spec(file, [], catalogue), catalogue, output, True, tables=False)
    told.put(clock.stages)


def alone(folder: Path, run_of: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The stages that a run had to run, in a process of its own; none where it did not get to its end."""
    # From a process that has imported everything and run nothing: polars does not outlive a fork.
    kind = multiprocessing.get_context("forkserver")
    kind.set_forkserver_preload(IMPORTED)
    told = kind.SimpleQueue()
    process = kind.Process(target=run, args=(str(folder), run_of, told))
    process.start()
    process.join()
    return told.get() if process.exitcode == 0 else {}


def one_size(rows: int, args: argparse.Namespace, found: Result, save: Any) -> None:
    """All stages of one size; `found` takes up each as it is done."""
    with tempfile.TemporaryDirectory(prefix="lasar-kit-scale-", dir=args.folder) as scratch:
        folder, sizes = Path(scratch), {"evaluate": {"max_users": args.users}}
        for source in args.sources:
            WRITE[source](folder, rows)
            made = alone(folder, spec(source, ("ids",), sizes))
            if "dataset" in made:
                found[source] = made["dataset"]
                save()
            if source == "amazon_reviews":
                shutil.rmtree(folder / "run_amazon_reviews", ignore_errors=True)
                for name in SOURCES[source].values():
                    (folder / name).unlink()
        if "csv" not in args.sources:
            return
        users = found["csv"]["report"]["users"]
        sizes["ground"] = {"epochs": args.updates / -(-users // 64)}
        sizes["anchors"] = {"max_samples": args.prompts}
        sizes["more_anchors"] = {"max_samples": 4 * args.prompts}
        order = tuple(name for name in STAGES if name != "ids")
        for place, name in enumerate(order):
            if name not in args.stages:
                break
            made = alone(folder, spec("csv", order[: place + 1], sizes))
            if name not in made:
                break
            found[name] = made[name]
            save()


def compared(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Error and seconds of k-means of all items at once, and by mini-batches, on one catalogue."""
    items = pl.concat(big_shop.titles(big_shop.EACH * args.clustered))
    encoder = TfidfSvdEncoder(TfidfSvdConfig(use="tfidf_svd", dimensions=128), Env())
    vectors = torch.from_numpy(encoder.encode(items, Sequences.of([])))
    rows = []
    for batch in (0, 4096, 1024):
        made = RqKmeans(RqKmeansConfig(use="rq_kmeans", levels=4, codes=256, batch_items=batch), Env())
        began = time.process_time()
        made.fit(vectors)
        seconds = round(time.process_time() - began, 2)
        left = vectors - made.decode(made.encode(vectors))
        error = float(left.square().sum() / vectors.square().sum())
        rows.append({"batch": batch, "items": len(vectors), "seconds": seconds, "error": error})
    return rows


def measure(args: argparse.Namespace) -> Result:
    """Each size in turn, beside what is stored."""
    stored = json.loads(args.output.read_text()) if args.output.exists() else {"sizes": {}}
    result: Result = {**machine(), "threads": 1, "sizes": stored["sizes"]}
    result["asked"] = {"updates": args.updates, "users": args.users, "prompts": args.prompts}
    result["kmeans"] = stored.get("kmeans", [])

    def save() -> None:
        args.output.write_text(json.dumps(result, indent=2) + "\n")

    for rows in args.rows:
        one_size(rows, args, result["sizes"].setdefault(str(rows), {}), save)
    if args.clustered:
        result["kmeans"] = compared(args)
    return result


def text(result: Result) -> str:
    """What was measured, and what of it does not fit into a table."""
    told, sizes = [], sorted(result["sizes"].items(), key=lambda size: int(size[0]))
    for rows, found in sizes:
        size = found.get("csv", {}).get("report", {})
        told.append(
            f"{int(rows):,} rows leave {size.get('users', 0):,} users, {size.get('items', 0):,} items"
        )
    lines = [f"{machine_text(result)}. {'; '.join(told)}."]
    last = next((found for _, found in reversed(sizes) if "more_anchors" in found), None)
    if last is not None:
        few, many = last["anchors"], last["more_anchors"]
        prompts = many["report"]["prompts"] - few["report"]["prompts"]
        each = 1000 * (many["seconds"] - few["seconds"]) / prompts
        size = 2**20 * many["report"]["megabytes"] / many["report"]["prompts"] / 1000
        lines.append(f"A prompt more takes {each:.0f} ms and {size:.1f} kB of states on disk.")
    return " ".join(lines)


def cell(name: str, found: dict[str, Any], rows: int) -> str:
    """Seconds, those a million rows where all rows are read, and megabytes."""
    seconds = found["seconds"]
    each = f" ({1e6 * seconds / rows:,.1f})" if name in (*SOURCES, "tokenize") else ""
    return f"{seconds:,.1f} s{each}, {found['megabytes']:,} MB"


def epoch(found: dict[str, Any], rows: int) -> str:
    """The seconds of an epoch: those of an update by the number of updates."""
    report = found["report"]
    seconds = found["update_seconds"] * report["updates"] / report["epochs"]
    return f"{seconds:,.0f} s ({1e6 * seconds / rows:,.0f})"


def tables(result: Result) -> list[Shown]:
    """A row a stage, a column a size; and k-means at once and by mini-batches."""
    sizes = sorted(result["sizes"].items(), key=lambda size: int(size[0]))
    asked = result["asked"] | {"more": 4 * result["asked"]["prompts"]}
    rows = []
    for name, label in SHOWN.items():
        cells = [cell(name, found[name], int(size)) if name in found else "" for size, found in sizes]
        rows.append([label.format(**asked), *cells])
        if name == "ground":
            cells = [epoch(found[name], int(size)) if name in found else "" for size, found in sizes]
            rows.append(["SFT, an epoch, worked out", *cells])
    shown: list[Shown] = [(["stage", *(f"{int(size):,} rows" for size, _ in sizes)], rows)]
    if result["kmeans"]:
        whole = result["kmeans"][0]
        clusters = [
            [
                f"mini-batches of {row['batch']:,}" if row["batch"] else "all at once",
                f"{row['seconds']:,.1f}",
                f"{row['error']:.4f}",
                f"{row['error'] / whole['error'] - 1:+.1%}",
            ]
            for row in result["kmeans"]
        ]
        header = [f"k-means of {whole['items']:,} items", "s", "relative error", "against all at once"]
        shown.append((header, clusters))
    return shown


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[10**4, 10**5, 10**6], help="interactions")
    parser.add_argument("--sources", nargs="*", choices=list(WRITE), default=list(WRITE))
    parser.add_argument(
        "--stages", nargs="*", choices=list(STAGES), default=list(STAGES), help="behind csv, the first ones"
    )
    parser.add_argument("--updates", type=int, default=40, help="of SFT")
    parser.add_argument("--users", type=int, default=200, help="that are evaluated")
    parser.add_argument("--prompts", type=int, default=250, help="that anchors are made for; then four times")
    parser.add_argument("--clustered", type=int, default=10_000, help="items of the k-means; 0 for none")
    parser.add_argument("--folder", type=Path, help="where files are generated; the system's when absent")
    main(parser, RESULT, measure, text, tables)
