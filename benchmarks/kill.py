"""SIGKILL at random moments of a small LASAR run, each resumed: does it end in the same bits?

    python benchmarks/kill.py             measure, print, write benchmarks/results/kill.json
    python benchmarks/kill.py --table     print the tables of docs/resume.md from that file

Every kill hits a run of its own, begun in an empty folder: it waits for a stage to begin, then until the main
process has computed for a random share of what the stage took undisturbed, and kills all processes of the
run. The stages have their turns until each was hit as often as planned; kills that missed count as well.
Compared with a run that was not killed are metrics, lists, all weights, the report of every stage, the log
but for its rates.
Runs are forked from one process that has everything imported, so that a kill costs no start of Python. The
cost of checkpoints is the time spent in writing them, within the stage `ground` of the quickstart.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from report import Result, Shown, machine, machine_text, main

from lasar_kit.train.loop import Training
from lasar_kit.train.resume import Keeper

RESULT = Path(__file__).parent / "results" / "kill.json"
QUICKSTART = Path(__file__).parents[1] / "tutorials" / "quickstart.yaml"
SPEC = Path(__file__).with_suffix(".yaml")
STAGES = ("dataset", "tokenize", "ground", "anchors", "reason", "rl", "evaluate")


def fork(work: Callable[[], None], output: Path, **environment: str) -> int:
    """`work` in a process of its own that writes what it says to a file; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.environ.update(environment)
        work()
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def start(folder: Path, processes: int, *options: str) -> list[int]:
    """A run in a folder, on so many processes; their ids."""
    from lasar_kit.cli.main import main as lasar_kit

    arguments = ["run", str(SPEC), "--output", str(folder / "kill"), *options]
    folder.mkdir(exist_ok=True)
    ranks: list[dict[str, str]] = [{}]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        world = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        ranks = [{"RANK": str(n), "LOCAL_RANK": str(n), **world} for n in range(processes)]
    return [fork(lambda: lasar_kit(arguments), folder / "said.txt", **rank) for rank in ranks]


def finish(folder: Path, children: Sequence[int]) -> None:
    """Wait for a run's end."""
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(codes):
        raise SystemExit(f"exit codes {codes}: {(folder / 'said.txt').read_text()}")


def over(process: int) -> bool:
    """Whether a process has ended; it can still be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def worked(process: int) -> float:
    """Seconds that another process has computed; its clock stands as in Linux's clock_getcpuclockid."""
    return time.clock_gettime((~process << 3) | 2)


def durations(folder: Path, children: Sequence[int]) -> dict[str, float]:
    """Watch a run to its end; the seconds that the main process computed for each stage."""
    stages, began, ended = folder / "kill" / "stages", {}, {}
    while not over(children[0]):
        now = worked(children[0])
        for name in STAGES:
            if (stages / name).exists():
                ended.setdefault(name, now)
            if name in ended or (stages / f".{name}.partial").exists():
                began.setdefault(name, now)
        time.sleep(0.001)
    finish(folder, children)
    return {name: ended[name] - began[name] for name in STAGES}


def kill(folder: Path, children: Sequence[int], stage: str, seconds: float) -> str:
    """Kill a run once a stage has computed so long; the stage that it hit."""
    stages, began = folder / "kill" / "stages", None
    while (began is None or worked(children[0]) < began + seconds) and not over(children[0]):
        if began is None and ((stages / f".{stage}.partial").exists() or (stages / stage).exists()):
            began = worked(children[0])
        time.sleep(0.0005)
    for child in children:
        os.kill(child, signal.SIGKILL)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if codes[0] != -signal.SIGKILL:
        return "after the end"
    hit = [name for name in STAGES if (stages / f".{name}.partial").exists()]
    return hit[0] if hit else f"before {next((n for n in STAGES if not (stages / n).exists()), 'the end')}"


def contents(folder: Path) -> dict[str, Any]:
    """All that a run left, without what tells of time."""
    run, found = folder / "kill", {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.name == "log.jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{key: row[key] for key in row if key != "samples_per_s"} for row in rows]
        elif path.name == "artifact.json":
            found[name] = json.loads(path.read_text())["report"]
        elif path.is_file() and path.name != "spec.lock.yaml":
            found[name] = path.read_bytes()
    return found


def kills(root: Path, processes: int, count: int, draw: random.Random) -> list[Result]:
    """So many kills, the stages in turn: where each hit, and whether the run ended alike.

    One that missed its stage counts as well, and another one takes its turn.
    """
    whole, hits, aimed = root / f"whole{processes}", [], 0
    taken = durations(whole, start(whole, processes))
    expected = contents(whole)
    assert {"metrics.json", "predictions.jsonl", "model/model.safetensors"} <= set(expected)
    while aimed < count:
        stage = STAGES[aimed % len(STAGES)]
        folder = root / "cut" / "run"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir()
        hit = kill(folder, start(folder, processes), stage, draw.random() * taken[stage])
        finish(folder, start(folder, processes, "--resume"))
        found = contents(folder)
        apart = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
        resumed = "goes on after update" in (folder / "said.txt").read_text()
        hits.append({"stage": hit, "same": not apart, "apart": apart, "from_checkpoint": resumed})
        aimed += hit == stage
        print(f"{processes} processes, {aimed} of {count} aimed at {stage}: {hits[-1]}", flush=True)
    return hits


def cost(root: Path, epochs: float) -> Result:
    """Time in checkpoints every 100 updates, as a share of a stage's updates and validations."""
    spent: dict[str, list[float]] = {"cpu": [0.0, 0.0], "wall": [0.0, 0.0]}
    clocks = {"cpu": time.process_time, "wall": time.perf_counter}
    output, counts = root / "cost.json", {"checkpoints": 0, "bytes": 0}

    def timed(place: int, method: Any) -> Any:
        def call(self: Any) -> Any:
            before = {name: clock() for name, clock in clocks.items()}
            value = method(self)
            for name, clock in clocks.items():
                spent[name][place] += clock() - before[name]
            if place == 0:
                counts["checkpoints"] += 1
                last = self.checkpoints.all()[-1]
                counts["bytes"] = sum(path.stat().st_size for path in last.rglob("*") if path.is_file())
            else:
                counts["updates"] = self.done
                counts["parameters"] = sum(p.numel() for p in self.recommender.parameters())
                output.write_text(json.dumps({**counts, "seconds": spent}))
            return value

        return call

    def work() -> None:
        from lasar_kit.cli.main import main as lasar_kit

        Keeper._write = timed(0, Keeper._write)  # type: ignore[method-assign]
        Training.run = timed(1, Training.run)  # type: ignore[method-assign]
        trained = ("anchors", "reason", "more", "rl")
        names = (*trained, "minionerec", "lasar_sft", "minionerec_more", "lasar_rl")
        options = [f"stages.{name}=null" for name in names] + [f"stages.ground.epochs={epochs}"]
        sets = [part for option in options for part in ("--set", option)]
        lasar_kit(["run", str(QUICKSTART), "--output", str(root / "cost"), *sets])

    child = fork(work, root / "said.txt")
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit((root / "said.txt").read_text())
    found: Result = json.loads(output.read_text())
    return {**found, "share": {name: part / total for name, (part, total) in found["seconds"].items()}}


def measure(args: argparse.Namespace) -> Result:
    """Kills on one process and on two, and the cost."""
    import sklearn.cluster
    import sklearn.decomposition
    from transformers import Qwen3ForCausalLM

    imported = (sklearn.cluster, sklearn.decomposition, Qwen3ForCausalLM)  # before any fork
    assert all(imported)
    with tempfile.TemporaryDirectory() as folder:
        root, runs = Path(folder), {}
        for processes, count in ((1, args.one), (2, args.two)):
            draw = random.Random(f"{args.seed} {processes}")
            runs[str(processes)] = {"kills": kills(root, processes, count, draw)}
        return {**machine(), "runs": runs, "cost": cost(root, args.epochs)}


def text(result: Result) -> str:
    """Return the lines above the tables."""
    cost, sizes = result["cost"], []
    for number, run in result["runs"].items():
        good = sum(hit["same"] for hit in run["kills"])
        sizes.append(f"{good} of {len(run['kills'])} on {number} process{'es' * (number != '1')}")
    size = f"{cost['parameters'] / 1e6:.2f} M parameters, {cost['bytes'] / 1e6:.1f} MB each"
    return (
        f"Runs that ended in the same bits as one that was not killed: {', '.join(sizes)}. Checkpoints every"
        f" 100 updates ({cost['checkpoints']} in {cost['updates']} updates of {size}) took"
        f" {cost['share']['cpu']:.2%} of the CPU time of training and {cost['share']['wall']:.2%} of its wall"
        f" time. {machine_text(result)}."
    )


def tables(result: Result) -> list[Shown]:
    """Kills by the stage that they hit."""
    runs = result["runs"]
    header = ["killed in", *(f"{n} process{'es' * (n != '1')}: same bits" for n in runs)]
    named = {hit["stage"] for run in runs.values() for hit in run["kills"]}
    between = {name for name in named if name not in STAGES}

    def cell(run: Result, names: Sequence[str]) -> str:
        hits = [hit for hit in run["kills"] if hit["stage"] in names]
        return f"{sum(hit['same'] for hit in hits)} of {len(hits)}" if hits else "–"

    groups: list[tuple[str, Sequence[str]]] = [(f"`{name}`", [name]) for name in STAGES]
    groups += [("between stages", sorted(between))] if between else []
    groups += [("all", sorted(named))]
    return [(header, [[label, *(cell(run, names) for run in runs.values())] for label, names in groups])]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=int, default=30, help="kills of a run on one process that hit")
    parser.add_argument("--two", type=int, default=10, help="kills of a run on two processes that hit")
    parser.add_argument("--epochs", type=float, default=3.3, help="of the stage whose checkpoints are timed")
    parser.add_argument("--seed", type=int, default=0)
    main(parser, RESULT, measure, text, tables)
