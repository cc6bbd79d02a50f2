"""What some components read: files of every format, small model folders, a finished run, an endpoint."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from bad_input import formats
from bad_input.harness import Files
from bad_input.models import causal, encoder

USERS, ITEMS = 16, 30
TEXT = "Step 1: The customer likes soap. Step 2: A green one comes next. Recommendation: soap."
DEMO = {"use": "demo", "users": USERS, "items": 68, "projects": 0.5}
HOPS = {"use": "hops", "nodes": 10, "hops": 2}


@dataclass(frozen=True)
class Workshop:
    """A folder with all these files, and the options by which components read them, by `kind.name`."""

    folder: Path
    given: Mapping[str, Mapping[str, Any]]


class _Endpoint(BaseHTTPRequestHandler):
    """Answers every chat request with the same text."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
        data = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def in_a_fork(make: Callable[[], Any], file: Path) -> Any:
    """What a function gives, as JSON in a file, run in a fork of this process; None where it fails.

    This process itself touches no tensor or table: the threads that libraries begin then would be missing in
    the forks of later cases, which would wait for them.
    """
    child = os.fork()
    if not child:
        try:
            file.write_text(json.dumps(make()))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return json.loads(file.read_text()) if file.is_file() else None


@contextmanager
def workshop(folder: Path) -> Iterator[Workshop]:
    """All of it in a folder, and the endpoint for as long as this lasts."""
    made = in_a_fork(lambda: {**_data(folder), **_models(folder), **_by_id(folder)}, folder / "given.json")
    assert made is not None, "the files could not be written"
    given: dict[str, dict[str, Any]] = dict(made)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    given["teacher.openai"] = {
        "base_url": url, "model": "m", "cache": str(folder / "answers"), "api_key_env": None
    }  # fmt: skip
    given |= {
        "dataset.demo": DEMO,
        "dataset.hops": HOPS,
        "teacher.hops": {"nodes": HOPS["nodes"]},
        "teacher.demo": {"otherwise": TEXT},
        "prompt.template": {"text": "Bought: {history}\nNext: "},
        "text_encoder.concat": {"encoders": [{"encoder": "tfidf_svd"}, {"encoder": "cooccurrence"}]},
        "text_encoder.trained": {"run": str(folder / "run")},
        "ranker.run": {"run": str(folder / "run")},
        "hook.target": {"value": 2.0},
        "latent_loop.written": {"limit": 12},
        "latent_loop.coconut_curriculum": {"limit": 12},
    }
    try:
        yield Workshop(folder, given)
    finally:
        server.shutdown()
        server.server_close()


def _write(folder: Path, files: Files) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _data(folder: Path) -> dict[str, dict[str, Any]]:
    """A small shop in the files of every format."""
    log = [
        {"user": f"u{user}", "item": f"i{(3 * user + step * step) % ITEMS}", "time": 10 * user + step}
        for user in range(USERS)
        for step in range(5 + user % 3)
    ]
    items = [
        {"item": f"i{n}", "title": f"{'red' if n % 2 else 'green'} soap number {n}"} for n in range(ITEMS)
    ]
    given = {}
    for name, make in formats.FORMATS.items():
        files, options = make(log, items)
        place = folder / name.replace(" ", "_")
        _write(place, files)
        files_at = {key: str(place / str(value)) for key, value in options.items() if _is_file(value, files)}
        given[f"dataset.{options['use']}"] = {**options, **files_at}
    given["dataset.amazon_reviews"]["release"] = "2023"
    return given


def _is_file(value: object, files: Files) -> bool:
    return isinstance(value, str) and any(name == value or name.startswith(f"{value}/") for name in files)


def _models(folder: Path) -> dict[str, dict[str, Any]]:
    """A causal language model and a sentence encoder, of random weights."""
    _write(folder / "causal", causal())
    _write(folder / "encoder", encoder())
    words, sentences = str(folder / "causal"), str(folder / "encoder")
    return {
        "backbone.hf_causal": {"pretrained": words},
        "teacher.hf": {"model": words, "max_new_tokens": 6},
        "text_encoder.sentence_transformer": {"model": sentences},
        "segmenter.embedding": {"model": sentences},
    }


def _by_id(folder: Path) -> dict[str, dict[str, Any]]:
    """Vectors, codes and texts by raw id, of all the data sets at once."""
    nodes = [f"<a_{node}>" for node in range(10)]
    items = [
        *(f"item-{n:05d}" for n in range(70)),
        *(f"{mark}{n}" for mark in ("i", "") for n in range(ITEMS)),
        *(f"{node}<b_{hops}>" for node in nodes for hops in range(3)),
    ]
    users = [
        *(f"customer-{n:06d}" for n in range(USERS)),
        *(f"{mark}{n}" for mark in ("u", "") for n in range(USERS)),
        *(f"{node}+{hops}" for node in range(len(nodes)) for hops in (1, 2)),
    ]
    np.save(folder / "vectors.npy", np.random.default_rng(0).normal(size=(len(items), 8)))
    (folder / "ids.txt").write_text("".join(f"{item}\n" for item in items))
    codes = itertools.product(range(6), repeat=3)
    index = {item: [f"<{level}_{c}>" for level, c in zip("abc", next(codes), strict=True)] for item in items}
    (folder / "index.json").write_text(json.dumps(index))
    rows = ({"user": user, "end": end, "text": TEXT} for user in users for end in range(1, 12))
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "text_encoder.precomputed": {"path": str(folder / "vectors.npy"), "ids": str(folder / "ids.txt")},
        "quantizer.from_index": {"path": str(folder / "index.json")},
        "teacher.jsonl": {"path": str(folder / "texts.jsonl"), "missing": "skip"},
    }
