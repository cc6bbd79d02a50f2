"""A served run under load: requests a second and latency, memory over time, and bodies that make no sense.

    python benchmarks/serve.py             measure, print, write benchmarks/results/serve.json
    python benchmarks/serve.py --table     print the table of docs/serve.md from that file

Load is made by wrk (https://github.com/wg/wrk, a package of most systems) on the loopback, each request one
history of two to ten items, every other one with its history left out and every fourth with a filter. The run
is a small one, made anew. Memory is that of the server under four fifths of the most requests a second that
it answered before.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import report

RESULT = Path(__file__).parent / "results" / "serve.json"
SHARE = 0.8
"""Of the most load, under which memory is watched."""
SPEC = """
name: served
dataset: {{use: demo, users: 400, items: {items}}}
max_history: 10
backbone: {{use: qwen3, hidden_size: {hidden}, layers: {layers}, heads: 4}}
prompt: sid_only
decoder: {{use: trie_beam, width: {width}}}
stages:
  tokenize: {{use: tokenize, quantizer: {{use: rq_kmeans, levels: 3, codes: 32}}}}
  ground: {{use: sft, samples: packed, epochs: 0.1, eval_users: 10, eval_width: 10}}
"""
WRK = """
local bodies, at = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
function request()
  at = at % #bodies + 1
  return wrk.format("POST", "/recommend", {["Content-Type"] = "application/json"}, bodies[at])
end
local pause = os.getenv("PAUSE")
if pause then function delay() return tonumber(pause) end end
function done(summary, latency)
  local e = summary.errors
  local p50, p95, p99 = latency:percentile(50), latency:percentile(95), latency:percentile(99)
  local failed = e.connect + e.read + e.write + e.timeout
  local told = {summary.requests, summary.duration, p50, p95, p99, e.status, failed}
  for key, value in ipairs(told) do told[key] = string.format("%d", value) end
  print("RESULT " .. table.concat(told, " "))
end
"""


def make_run(folder: Path, args: argparse.Namespace) -> Path:
    """A finished run."""
    (folder / "spec.yaml").write_text(
        SPEC.format(items=args.items, hidden=args.hidden, layers=args.layers, width=args.width)
    )
    command = [
        sys.executable,
        "-m",
        "lasar_kit",
        "run",
        str(folder / "spec.yaml"),
        "--output",
        str(folder / "run"),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "run"


@contextmanager
def serving(run: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server on a free port; the process and the port. It must end by itself when told to."""
    command = [sys.executable, "-m", "lasar_kit", "serve", str(run), "--port", "0", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        told = server.stdout.readline()
        port = int(told.rsplit(":", 1)[1])
        while ask(port, "/ready")[0] != 200:
            time.sleep(0.1)
        yield server, port
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """The status and the body of one request; 0 where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            "POST" if body is not None else "GET", path, body, {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    except ConnectionRefusedError:
        return 0, b""
    finally:
        connection.close()


def bodies(items: int, count: int = 500) -> list[str]:
    """Requests of one history each; half of them leave it out, and a quarter have a filter as well."""
    draw = random.Random(0)
    made = []
    for number in range(count):
        history = [f"item-{draw.randrange(items):05d}" for _ in range(draw.randint(2, 10))]
        body: dict[str, Any] = {"histories": [history], "k": 10, "exclude_history": number % 2 == 0}
        if number % 4 == 0:
            body["filter"] = {"price": {"max": 20}}
        made.append(json.dumps(body))
    return made


def load(port: int, file: Path, script: Path, clients: int, seconds: int, pause: float = 0) -> dict[str, Any]:
    """What wrk says of so many clients, each with one request at a time and `pause` seconds behind it."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]
    told = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"],
        env={**os.environ, "BODIES": str(file)} | ({"PAUSE": str(round(1000 * pause))} if pause else {}),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (line,) = re.findall(r"^RESULT (.*)$", told, re.MULTILINE)
    requests, took, p50, p95, p99, refused, failed = map(int, line.split())
    return {
        "clients": clients,
        "requests": requests,
        "per_second": requests / (took / 1e6),
        "ms": {"p50": p50 / 1000, "p95": p95 / 1000, "p99": p99 / 1000},
        "refused": refused,
        "failed": failed,
    }


def megabytes(process: int) -> float:
    """Memory that a process holds."""
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(kilobytes) / 1024


def soak(
    server: subprocess.Popen[str], load_of: Callable[..., dict[str, Any]], most: dict[str, Any], seconds: int
) -> dict[str, Any]:
    """Memory at the start and after each tenth of a time at four fifths of the load `most`."""
    clients = most["clients"]
    pause = max(clients / (SHARE * most["per_second"]) - most["ms"]["p50"] / 1000 * SHARE, 0.001)
    load_of(clients, max(seconds // 20, 1), pause)
    held, rates = [megabytes(server.pid)], []
    for _ in range(10):
        row = load_of(clients, max(seconds // 10, 1), pause)
        held.append(megabytes(server.pid))
        rates.append(row["per_second"])
        assert row["refused"] + row["failed"] == 0, row
    return {"seconds": seconds, "megabytes": held, "share": sum(rates) / 10 / most["per_second"]}


def malformed(good: str, draw: random.Random) -> bytes:
    """A body that is cut, has bytes changed, or has a value in the place of another."""
    text = bytearray(good.encode())
    way = draw.randrange(4)
    if way == 0:
        return bytes(text[: draw.randrange(len(text))])
    if way == 1:
        for _ in range(draw.randint(1, 8)):
            text[draw.randrange(len(text))] = draw.randrange(256)
        return bytes(text)
    values: list[Any] = [
        None,
        True,
        -1,
        10**30,
        1e308,
        float("nan"),
        "",
        "\ud800",
        [],
        {},
        [[[]]],
        ["item-1"] * 3,
    ]
    made = json.loads(good)
    made[draw.choice([*made, "filter", "depth", "allow", "deny", "unknown", "other"])] = draw.choice(values)
    if way == 3:
        made = draw.choice([[made], {"histories": made}, draw.choice(values)])
    return json.dumps(made).encode()


def fuzz(port: int, items: int, count: int) -> dict[str, int]:
    """How often each status answered so many malformed bodies, over one connection."""
    draw, good, found = random.Random(1), bodies(items), Counter[str]()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(count):
        body = malformed(draw.choice(good), draw)
        connection.request("POST", "/recommend", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        found[str(answer.status)] += 1
    connection.close()
    return dict(sorted(found.items()))


def measure(args: argparse.Namespace) -> report.Result:
    """Load of each number of clients, memory, and malformed bodies."""
    busy = os.getloadavg()[0]  # what else the machine does
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = make_run(folder, args)
        (file := folder / "bodies.jsonl").write_text("\n".join(bodies(args.items)) + "\n")
        (script := folder / "load.lua").write_text(WRK)
        with serving(run) as (server, port):
            load_of = partial(load, port, file, script)
            load_of(1, 2)
            rows = [load_of(clients, args.seconds) for clients in args.clients]
            most = max(rows, key=lambda row: float(row["per_second"]))
            statuses = fuzz(port, args.items, args.bodies)
            print(f"{rows}\n{statuses}\nnow memory, for {args.soak} s", flush=True)
            held = soak(server, load_of, most, args.soak) if args.soak else None
    sizes = {name: getattr(args, name) for name in ("items", "hidden", "layers", "width", "seconds")}
    told = {"cores": os.cpu_count(), "busy": busy, "sizes": sizes}
    return {**report.machine(), **told, "load": rows, "memory": held, "malformed": statuses}


def text(result: report.Result) -> str:
    """What was measured."""
    sizes, held = result["sizes"], result["memory"]
    memory = ""
    if held:
        first, *later = held["megabytes"]
        memory = (
            f" Memory at {held['share']:.0%} of the most load, over {held['seconds']} s: {first:.0f} MB, "
            f"then {', '.join(f'{one:.0f}' for one in later)} MB."
        )
    statuses = ", ".join(f"{count:,} with {status}" for status, count in result["malformed"].items())
    other = f", load average before {result['busy']:.1f}" if result["busy"] > 0.5 else ""
    return (
        f"{sizes['items']:,} items, {sizes['layers']} layers of width {sizes['hidden']}, "
        f"{sizes['width']} beams; wrk and server share {result['cores']} cores{other}; "
        f"{report.machine_text(result)}.{memory} Malformed bodies were answered {statuses}."
    )


def tables(result: report.Result) -> list[report.Shown]:
    """A row for each number of clients."""
    header = ("clients", "requests a second", "p50, ms", "p95, ms", "p99, ms", "refused or failed")
    rows = [
        (
            str(row["clients"]),
            f"{row['per_second']:.1f}",
            *(f"{row['ms'][name]:.0f}" for name in ("p50", "p95", "p99")),
            str(row["refused"] + row["failed"]),
        )
        for row in result["load"]
    ]
    return [(header, rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=20)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--seconds", type=int, default=20, help="of each number of clients")
    parser.add_argument(
        "--soak", type=int, default=600, help="seconds under load whose memory is told; 0 for none"
    )
    parser.add_argument("--bodies", type=int, default=10_000, help="malformed ones")
    report.main(parser, RESULT, measure, text, tables)


if __name__ == "__main__":
    main()
