"""A server whose model hangs ends all the same, when it is told to."""

from __future__ import annotations

import threading
from pathlib import Path

from fastapi.testclient import TestClient

from lasar_kit.serve.http.app import Options, create_app
from lasar_kit.serve.http.batches import Batches
from lasar_kit.serve.http.service import Service
from lasar_kit.serve.recommend import LoadedRun
from tests.modules import Start

HANGS = """\
import asyncio, os, signal, sys, threading
from pathlib import Path
from types import SimpleNamespace

from lasar_kit.serve.http import server
from lasar_kit.serve.http.app import Options, create_app
from lasar_kit.serve.http.batches import Batches


def hang():
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()


async def run(batches):
    await asyncio.get_running_loop().run_in_executor(batches.pool, hang)


Batches.run, server.LEAVING = run, 0.0
service = SimpleNamespace(name="shop", listed=1, support=None, answer=None)
server.load_app = lambda run, options, plugins: create_app(service, options, server.leave_in_time)
server.serve(Path("shop"), "127.0.0.1", 0, 1, Options())
"""


def test_a_process_leaves_a_model_that_hangs(tmp_path: Path, preloaded: Start) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    found = preloaded(tmp_path / "hangs.py")
    assert found.stdout.startswith("serving shop on http://127.0.0.1:")
    assert (found.returncode, found.stderr) == (1, "the model hangs: given up after 0 seconds\n")


def test_it_is_timed_from_when_no_request_is_waited_for(model: LoadedRun) -> None:
    """Before the thread is: that is what may take for ever."""
    go, told = threading.Event(), list[bool]()

    def ending() -> None:
        told.append(go.is_set())
        go.set()

    app = create_app(Service(model, "shop"), Options(), ending)
    with TestClient(app):
        batches: Batches = app.state.server.batches
        hung = batches.pool.submit(go.wait, 20)
    assert told == [False]
    assert hung.result(0)
