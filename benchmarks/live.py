"""A catalogue that changes while it is served: what a change costs, and what a kill leaves of it.

    python benchmarks/live.py             measure, print, write benchmarks/results/live.json
    python benchmarks/live.py --table     print that file as markdown

Tries of random codes, no two items alike: the time in which one item and a hundred come in, beside that of
building the trie anew (least of the repeats), and the longest of a hundred hundreds that come one after the
other, when a table runs out of room and is copied. Then a small run is trained and served; items are added
over HTTP and some withdrawn until the server is killed by SIGKILL in the midst of it; a new one must have the
catalogue that was acknowledged. Of a request without an answer all may be there, or nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import report
import torch
from decode import seconds
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.trie import Trie
from lasar_kit.core.trie_growth import grown
from lasar_kit.core.values import SidTable
from lasar_kit.run import runner
from lasar_kit.serve.http import server
from lasar_kit.serve.http.app import Options
from lasar_kit.spec import load_spec

RESULT = Path(__file__).parent / "results" / "live.json"
SPEC = """
name: live
dataset: {use: demo, users: 60, items: 200}
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 3, codes: 32}}
  ground: {use: sft, samples: packed, epochs: 0.1, eval_users: 5}
"""
WORDS = ("rice", "bran", "oil", "soap", "kettle", "garden", "volume", "clay", "grinder", "powder", "beans")


def patched(items: int, repeats: int) -> dict[str, Any]:
    """Times of a trie of so many items, 256 codes at each of four levels; of few items fewer, all in use."""
    draw = torch.Generator().manual_seed(3)
    codes = torch.unique(
        torch.randint(0, min(256, items // 32), (items + items // 50 + 12_000, 4), generator=draw), dim=0
    )
    codes = codes[torch.randperm(len(codes), generator=draw)]
    table, more = SidTable(codes[:items]), codes[items : items + 100]
    built = [seconds(lambda: Trie.of(table, 256, "cpu")) for _ in range(max(1, repeats // 3))]
    trie = Trie.of(table, 256, "cpu")
    one = [seconds(lambda: grown(trie, more[:1])) for _ in range(repeats)]
    many = [seconds(lambda: grown(trie, more)) for _ in range(repeats)]
    times = {"built_ms": built, "one_ms": one, "hundred_ms": many}
    row = {"items": items, **{name: 1000 * min(values) for name, values in times.items()}}
    return row | {"longest_ms": 1000 * max(in_turn(trie, codes[items:]))}


def in_turn(trie: Trie, codes: Tensor) -> list[float]:
    """Times of a hundred hundreds that come one after the other, or of as many as there are."""
    times = []
    for more in codes[: 100 * 100].split(100):
        start = time.perf_counter()
        grew = grown(trie, more)
        times.append(time.perf_counter() - start)
        assert grew is not None, "every code is known at its level"
        trie = grew
    return times


def asked(port: int, path: str, body: Any = None, method: str = "GET") -> Any:
    """The answer as JSON; None where there is none, or another than 200 and 201."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    sent = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(sent, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError):
        return None


def started(run: Path) -> tuple[Any, int]:
    """A server of the run, in a process of its own, which takes requests."""
    with server.listening("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    # From a process that has imported everything and run nothing: polars does not outlive a fork.
    kind = multiprocessing.get_context("forkserver")
    kind.set_forkserver_preload(["lasar_kit.serve.http.server"])
    process = kind.Process(target=server.serve, args=(run, "127.0.0.1", port, 1, Options(wait=0.0)))
    process.start()
    while asked(port, "/ready") is None:
        if not process.is_alive():
            raise SystemExit("the server ended by itself")
        time.sleep(0.05)
    return process, port


class Client:
    """Sends changes, and remembers what was acknowledged and what is open."""

    def __init__(self, seed: int) -> None:
        self.draw, self.count = random.Random(seed), 0
        self.known: dict[str, dict[str, Any]] = {}
        self.gone: set[str] = set()
        self.open: list[list[str]] = []
        self.leaving: set[str] = set()
        self.acknowledged = 0
        self.times: list[float] = []

    def change(self, port: int) -> bool:
        """Add one to five items, or withdraw one; whether there was an answer."""
        if self.known and self.draw.random() < 0.25:
            name = self.draw.choice(sorted(self.known))
            self.leaving.add(name)
            if asked(port, f"/items/{name}", method="DELETE") is None:
                return False
            self.leaving.discard(name)
            self.gone.add(name)
            self.acknowledged += 1
            return True
        items = [self._item() for _ in range(self.draw.randint(1, 5))]
        names = [one["id"] for one in items]
        self.open.append(names)
        begun = time.perf_counter()
        made = asked(port, "/items", {"items": items}, "POST")
        if made is None:
            return False
        self.times.append(time.perf_counter() - begun)
        self.open.remove(names)
        self.known |= {one["id"]: one for one in made["items"]}
        self.acknowledged += 1
        return True

    def _item(self) -> dict[str, str]:
        self.count += 1
        return {"id": f"new-{self.count}", "title": " ".join(self.draw.choices(WORDS, k=4))}

    def mistakes(self, port: int) -> int:
        """How many items are not as they were acknowledged; what was open is settled by what is there."""
        wrong = 0
        for name, one in self.known.items():
            found = asked(port, f"/items/{name}")
            withdrawn = name in self.gone
            if found is not None and name in self.leaving and found["withdrawn"]:
                withdrawn = True
                self.gone.add(name)
            wrong += found != {**one, "withdrawn": withdrawn}
        for names in self.open:
            found = {name: asked(port, f"/items/{name}") for name in names}
            there = {name: one for name, one in found.items() if one is not None}
            wrong += 0 < len(there) < len(names)
            self.known |= there
        self.open, self.leaving = [], set()
        names = self._listed(port)
        return wrong + len((set(self.known) - self.gone) - names) + len(self.gone & names)

    def _listed(self, port: int) -> set[str]:
        """Those of the items that came which lists hold: asked for in parts, as a list has 1,000 at most."""
        found, known = set(), sorted(self.known)
        for start in range(0, len(known), 500):
            body = {"histories": [["item-00002"]], "k": 1000, "allow": known[start : start + 500]}
            told = asked(port, "/recommend", body, "POST")
            found |= {one["item"] for one in told["lists"][0]["items"]} if told else set()
        return found


def killed(run: Path, kills: int, seed: int) -> dict[str, Any]:
    """Serve, change, kill, and look, so many times."""
    client, wrong, waits = Client(seed), [], random.Random(seed + 1)
    process, port = started(run)
    try:
        for _ in range(kills):
            with ThreadPoolExecutor(2) as pool:
                before = client.acknowledged
                sending = pool.submit(send, client, port)
                while client.acknowledged == before and not sending.done():
                    time.sleep(0.01)
                time.sleep(waits.uniform(0.0, 0.5))
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                sending.result()
            process, port = started(run)
            wrong.append(client.mistakes(port))
    finally:
        process.kill()
        process.join()
    return {
        "kills": kills,
        "mistakes": sum(wrong),
        "changes": client.acknowledged,
        "items": len(client.known),
        "withdrawn": len(client.gone),
        "add_ms": 1000 * median(client.times),
    }


def send(client: Client, port: int) -> None:
    """Change after change, until there is no answer."""
    while client.change(port):
        pass


def measure(args: argparse.Namespace) -> report.Result:
    """Patch times, then kills."""
    rows = [patched(items, args.repeats) for items in args.catalogues]
    with tempfile.TemporaryDirectory(prefix="lasar-kit-live-") as folder:
        file = Path(folder) / "live.yaml"
        file.write_text(SPEC)
        catalogue = Catalogue.discover()
        runner.run_spec(load_spec(file, [], catalogue), catalogue, Path(folder) / "run", True)
        kills = killed(Path(folder) / "run", args.kills, seed=1)
    return {**report.machine(), "rows": rows, "kills": kills}


def text(result: report.Result) -> str:
    """What was measured."""
    told = result["kills"]
    return (
        f"{report.machine_text(result)}. Killed {told['kills']} times in the midst of {told['changes']:,} "
        f"changes that were acknowledged ({told['items']:,} items came, {told['withdrawn']:,} went): "
        f"{told['mistakes']} items were not as acknowledged after a restart. A request that adds one to five "
        f"took {told['add_ms']:.0f} ms."
    )


def tables(result: report.Result) -> list[report.Shown]:
    """A row for each catalogue."""
    header = (
        "items",
        "one comes, ms",
        "a hundred come, ms",
        "longest of 100 times, ms",
        "trie built anew, ms",
    )
    names = ("one_ms", "hundred_ms", "longest_ms", "built_ms")
    rows = [(f"{row['items']:,}", *(f"{row[name]:,.1f}" for name in names)) for row in result["rows"]]
    return [(header, rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogues", type=int, nargs="*", default=[10**4, 10**5, 10**6])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--kills", type=int, default=30)
    report.main(parser, RESULT, measure, text, tables)


if __name__ == "__main__":
    main()
