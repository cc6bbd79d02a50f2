"""A server as a process: it answers what it took in before it ends, alone and with others on its port."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lasar_kit import load_run
from lasar_kit.cli.main import main

BODY = {"histories": [["item-00002", "item-00014"]], "k": 3}
Started = tuple[subprocess.Popen[str], int]


@pytest.fixture
def start(shop: Path) -> Iterator[Callable[..., Started]]:
    """Starts servers of the run; each is ended, by force if need be."""
    servers: list[subprocess.Popen[str]] = []

    def begin(*options: str, run: Path = shop) -> Started:
        command = [sys.executable, "-m", "lasar_kit", "serve", str(run), "--port", "0", *options]
        servers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        told = servers[-1].stdout.readline()  # type: ignore[union-attr]
        assert told.startswith(f"serving {run} on http://127.0.0.1:")
        port = int(told.rsplit(":", 1)[1])
        until(lambda: get(port, "/ready") == {"status": "ready"})
        return servers[-1], port

    yield begin
    for server in servers:
        server.kill()
        server.wait()
        server.stdout.close()  # type: ignore[union-attr]


def get(port: int, path: str) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            text = answer.read().decode()
            return json.loads(text) if text.startswith("{") else text
    except (urllib.error.URLError, ConnectionError):
        return None


def post(port: int, path: str = "/recommend", body: Any = BODY) -> Any:
    sent = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(sent, timeout=60) as answer:
        return json.load(answer)


def items(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["items", *arguments])
    told = capsys.readouterr()
    assert ended.value.code == 0, told.err
    return told.out


def until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("never")


def test_what_was_taken_in_is_answered_before_the_end(shop: Path, start: Callable[..., Started]) -> None:
    """The request waits for others when SIGTERM comes."""
    server, port = start("--wait-ms", "2000")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, port)
        until(lambda: "lasar_queue_histories 1.0" in get(port, "/metrics"))
        server.send_signal(signal.SIGTERM)
        (found,) = asked.result()["lists"]
    assert server.wait(60) == 0
    (expected,) = load_run(shop).rank(BODY["histories"], 3)  # type: ignore[arg-type]
    assert [one["item"] for one in found["items"]] == [one.item for one in expected]
    assert get(port, "/health") is None


def test_processes_share_a_port_and_count_together(
    shop: Path, tmp_path: Path, start: Callable[..., Started], capsys: pytest.CaptureFixture[str]
) -> None:
    """And share a catalogue, which the command line changes while they serve it."""
    run = tmp_path / "run"
    shutil.copytree(shop, run)
    server, port = start("--workers", "2", run=run)
    assert len({json.dumps(post(port)) for _ in range(6)}) == 1
    for number in range(4):
        title = f"Driftland Rice Bran Soap {number}"
        (made,) = post(port, "/items", {"items": [{"id": f"n{number}", "title": title}]})["items"]
        assert [get(port, f"/items/n{number}") for _ in range(4)] == [made] * 4
    (tmp_path / "new.csv").write_text('id,title,price\nn4,Emberstone Hand Grinder,$3\nn5,"Oil, fine",\n')
    items(capsys, "add", str(run), str(tmp_path / "new.csv"))
    assert get(port, "/items/n4")["fields"] == {"title": "Emberstone Hand Grinder", "price": "3"}
    assert "lists 63 items, 4 of which" in items(capsys, "withdraw", str(run), "n0", "n4", "item-00003")
    told = [json.loads(line) for line in items(capsys, "list", str(run), "--json").splitlines()]
    assert [one["item"] for one in told if one["withdrawn"]] == ["item-00003", "n0", "n4"]
    assert [get(port, f"/items/{one['item']}")["sid"] for one in told] == [one["sid"] for one in told]
    (listed,) = post(port, body={**BODY, "k": 63})["lists"]
    (expected,) = load_run(run).rank(BODY["histories"], 63)  # type: ignore[arg-type]
    assert [one["item"] for one in listed["items"]] == [one.item for one in expected]
    found = {one.item for one in expected}
    assert {"n1", "n5"} <= found
    assert not {"item-00003", "n0", "n4"} & found
    assert len(found) == 63
    assert 'lasar_requests_total{path="/recommend",status="200"} 7.0' in get(port, "/metrics")
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0


def test_what_cannot_be_served_is_told(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, told in (
        ([str(tmp_path)], "is not the folder of a run"),
        ([str(shop), "--host", "192.0.2.1"], "--port 8000: cannot listen on 192.0.2.1"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["serve", *arguments])
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
