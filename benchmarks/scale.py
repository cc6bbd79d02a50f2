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
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import big_shop
import polars as pl
import torch
from alone import alone
from report import Result, Shown, machine, machine_text, main

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_plugins.quantizer.rq_kmeans.config import RqKmeansConfig
from lasar_plugins.quantizer.rq_kmeans.quantizer import RqKmeans
from lasar_plugins.text_encoder.tfidf_svd.config import TfidfSvdConfig
from lasar_plugins.text_encoder.tfidf_svd.encoder import TfidfSvdEncoder

RESULT = Path(__file__).parent / "results" / "scale.json"
BATCH = 64
"""Samples of an update, as the stage has it."""
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
}
TINY = {"hidden_size": 32, "layers": 1, "heads": 1, "text_vocabulary": 8192}
"""The reader of many anchors, which are about the prompts' number."""
SHOWN = {
    "amazon_reviews": "load, k-core: `amazon_reviews`",
    "csv": "load, k-core: `csv`",
    "tokenize": "tokenize",
    "ground": "SFT, {updates} updates",
    "evaluate": "evaluate {users} users",
    "anchors": "anchors of {prompts} prompts",
}


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
        sizes["ground"] = {"epochs": args.updates / -(-users // BATCH)}
        sizes["anchors"] = {"max_samples": args.prompts}
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


def anchored(args: argparse.Namespace, found: list[dict[str, Any]], save: Any) -> None:
    """Anchors by the number of prompts, on a shop that has so many; `found` takes up each as it is done."""
    with tempfile.TemporaryDirectory(prefix="lasar-kit-scale-", dir=args.folder) as scratch:
        folder, stages = Path(scratch), ("tokenize", "ground", "anchors")
        big_shop.write_csv(folder, 2 * max(args.anchored))
        tiny, trained = {"backbone": {"use": "qwen3", **TINY}}, {"ground": {"epochs": 0.001}}
        alone(folder, spec("csv", stages[:2], trained) | tiny)
        for prompts in args.anchored:
            sizes = trained | {"anchors": {"max_samples": prompts, "max_segments": 2}}
            made = alone(folder, spec("csv", stages, sizes) | tiny).get("anchors")
            if made is None:
                return
            files = [path.stat() for path in (folder / "run_csv" / "stages" / "anchors").iterdir()]
            made["bytes"] = sum(file.st_size for file in files)
            found.append(made)
            save()


def measure(args: argparse.Namespace) -> Result:
    """Each size in turn, beside what is stored."""
    stored = json.loads(args.output.read_text()) if args.output.exists() else {"sizes": {}}
    result: Result = {**machine(), "threads": 1, "sizes": stored["sizes"]}
    result["asked"] = {"updates": args.updates, "users": args.users, "prompts": args.prompts}
    result["kmeans"] = stored.get("kmeans", [])
    result["anchors"] = [] if args.anchored else stored.get("anchors", [])

    def save() -> None:
        args.output.write_text(json.dumps(result, indent=2) + "\n")

    for rows in args.rows:
        one_size(rows, args, result["sizes"].setdefault(str(rows), {}), save)
    if args.clustered:
        result["kmeans"] = compared(args)
        save()
    if args.anchored:
        anchored(args, result["anchors"], save)
    return result


def text(result: Result) -> str:
    """What was measured, and what of it does not fit into a table."""
    told, sizes = [], sorted(result["sizes"].items(), key=lambda size: int(size[0]))
    for rows, found in sizes:
        size = found.get("csv", {}).get("report", {})
        told.append(
            f"{int(rows):,} rows leave {size.get('users', 0):,} users, {size.get('items', 0):,} items"
        )
    return f"{machine_text(result)}. {'; '.join(told)}."


def cell(name: str, found: dict[str, Any], rows: int) -> str:
    """Seconds, those a million rows where all rows are read, and megabytes."""
    seconds = found["seconds"]
    each = f" ({1e6 * seconds / rows:,.1f})" if name in (*SOURCES, "tokenize") else ""
    return f"{seconds:,.1f} s{each}, {found['megabytes']:,} MB"


def epoch(found: dict[str, Any], rows: int) -> str:
    """The seconds of an epoch: those of an update by the number of batches."""
    seconds = found["update_seconds"] * -(-found["report"]["samples"] // BATCH)
    return f"{seconds:,.0f} s ({1e6 * seconds / rows:,.0f})"


def tables(result: Result) -> list[Shown]:
    """A row a stage, a column a size; and k-means at once and by mini-batches."""
    sizes = sorted(result["sizes"].items(), key=lambda size: int(size[0]))
    asked = result["asked"]
    rows = []
    for name, label in SHOWN.items():
        cells = [cell(name, found[name], int(size)) if name in found else "" for size, found in sizes]
        rows.append([label.format(**asked), *cells])
        if name == "tokenize":
            errors = [found[name]["report"]["relative_error"][-1] for _, found in sizes if name in found]
            rows.append(["its relative error", *(f"{error:.3f}" for error in errors)])
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
    if result["anchors"]:
        shown.append(
            (
                ["anchors", "segments", "s", "ms a prompt", "MB on disk", "kB a prompt", "peak MB"],
                many(result),
            )
        )
    return shown


def many(result: Result) -> list[list[str]]:
    """A row for each number of prompts."""
    rows = []
    for made in result["anchors"]:
        prompts, size = made["report"]["prompts"], made["bytes"]
        rows.append(
            [
                f"{prompts:,} prompts",
                f"{made['report']['segments']:,}",
                f"{made['seconds']:,.0f}",
                f"{1000 * made['seconds'] / prompts:.2f}",
                f"{size / 2**20:,.0f}",
                f"{size / prompts / 1000:.2f}",
                f"{made['megabytes']:,}",
            ]
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[10**4, 10**5, 10**6], help="interactions")
    parser.add_argument("--sources", nargs="*", choices=list(WRITE), default=list(WRITE))
    parser.add_argument(
        "--stages", nargs="*", choices=list(STAGES), default=list(STAGES), help="behind csv, the first ones"
    )
    parser.add_argument("--updates", type=int, default=40, help="of SFT")
    parser.add_argument("--users", type=int, default=200, help="that are evaluated")
    parser.add_argument("--prompts", type=int, default=250, help="that anchors are made for")
    parser.add_argument("--clustered", type=int, default=10_000, help="items of the k-means; 0 for none")
    parser.add_argument(
        "--anchored", type=int, nargs="*", default=[10**4, 10**5], help="prompts of the anchors on disk"
    )
    parser.add_argument("--folder", type=Path, help="where files are generated; the system's when absent")
    main(parser, RESULT, measure, text, tables)
