"""Histories to reason about, and an endpoint to ask."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.core.values import Env
from lasar_plugins.teacher.openai.config import OpenAiTeacherConfig
from lasar_plugins.teacher.openai.teacher import OpenAiTeacher
from tests.teachers.endpoint import CUT_SHORT, HANG_UP, KEY, STALL, Endpoint

POLISHES = "Beauty, Makeup, Nails, Nail Polish"


@pytest.fixture(scope="session")
def history() -> Callable[..., ReasoningRequest]:
    """`history(*items)` is a request; an item is (title, brand, categories, price), or begins so."""

    def build(*items: tuple[str, ...], user: str = "ann", target: str | None = None) -> ReasoningRequest:
        wanted = None if target is None else ReasoningItem(target)
        return ReasoningRequest(user, len(items), tuple(ReasoningItem(*item) for item in items), wanted)

    return build


@pytest.fixture(scope="session")
def shopper(history: Callable[..., ReasoningRequest]) -> ReasoningRequest:
    """Six purchases that give ground for all eight steps."""
    return history(
        ("Red Shatter", "OPI", POLISHES, "3.00"),
        ("Sea Glass &amp; Sand", "OPI", POLISHES, "$4.00"),
        ("Hair Dryer", "Unknown", "Beauty, Hair Care, Dryers", "40"),
        ("Red Shatter", "OPI", POLISHES, "3.00"),
        ("Base Coat", "OPI", "Beauty, Makeup, Nails, Base Coats", "8.00"),
        ("Lip Gloss", "NYX", "Beauty, Makeup, Lips, Lip Glosses", "12.00"),
    )


@pytest.fixture
def endpoint(monkeypatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.asked.append(body)
                state.headers.append(dict(self.headers))
                state.paths.append(self.path)
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
                status, content, headers = state.reply(body)
            if state.gate:
                state.gate.wait(20)
            with state.lock:
                state.at_once -= 1
            if status == STALL:
                state.outlasted = not state.over.wait(5)
                return
            if status == HANG_UP:
                return
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(200 if status == CUT_SHORT else int(status))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data) * (2 if status == CUT_SHORT else 1)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield state
    state.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def teacher(endpoint: Endpoint, tmp_path: Path) -> Callable[..., OpenAiTeacher]:
    """`teacher(**options)`; `.slept` and `.heard` hold what it waited and reported; it never waits."""

    def build(**options) -> OpenAiTeacher:
        defaults = {
            "base_url": endpoint.url,
            "model": "m",
            "cache": tmp_path / "cache",
            "api_key_env": "TEACHER_KEY",
            "concurrency": 1,
            "timeout": 10,
        }
        config = OpenAiTeacherConfig(use="openai", **{**defaults, **options})
        slept: list[float] = []
        heard: list[dict[str, float]] = []
        built = OpenAiTeacher(config, Env(seed=7, report=heard.append), sleep=slept.append)
        built.slept, built.heard = slept, heard  # type: ignore[attr-defined]
        return built

    return build
