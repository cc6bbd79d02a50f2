"""A run on a port: one process, or several that share it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.process.screen import quiet_libraries
from lasar_kit.serve.http import meters
from lasar_kit.serve.http.app import Options, create_app
from lasar_kit.serve.http.service import Service
from lasar_kit.serve.live.catalogue import LiveCatalogue
from lasar_kit.serve.recommend import LoadedRun

HANDED_ON = "LASAR_KIT_SERVE"
"""The variable by which a process tells its workers what to serve."""
WORKER = "lasar_kit.serve.http.server:worker"
LOADING = 600
"""Seconds that a worker may take to load its model, or be busy, before it is begun anew."""
LEAVING = 10.0
"""Seconds that a process has to end once it waits for no request any more. To free a model takes less; a
thread whose device hangs takes for ever, and Python waits for it."""
SETTINGS: dict[str, Any] = {
    "log_level": "warning",
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": 30,  # seconds that requests in hand have left after SIGTERM
}


def serve(
    run: Path, host: str, port: int, workers: int, options: Options, plugins: Sequence[Path] = ()
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was taken in; leave a model that hangs.

    `UserError` where the run holds no model or the port cannot be had.
    """
    quiet_libraries()
    app = load_app(run, options, plugins) if workers == 1 else None
    listens = listening(host, port)
    port = listens.getsockname()[1]
    print(f"serving {run} on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    # What uvicorn hands a signal on to once it has drained: nothing more is to end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    if app is not None:
        uvicorn.Server(uvicorn.Config(app, **SETTINGS)).run(sockets=[listens])
        return
    listens.close()  # it was had; uvicorn opens it anew for its workers
    with tempfile.TemporaryDirectory(prefix="lasar-kit-metrics-") as folder:
        os.environ[meters.SHARED] = folder
        told = {"run": str(run), "plugins": [str(plugin) for plugin in plugins], "options": asdict(options)}
        os.environ[HANDED_ON] = json.dumps(told)
        # A worker that loads its model does not answer its keeper, which would end it after 5 seconds.
        more = {**SETTINGS, "timeout_worker_healthcheck": LOADING}
        uvicorn.run(WORKER, factory=True, workers=workers, host=host, port=port, **more)


def load_app(run: Path, options: Options, plugins: Sequence[Path] = ()) -> FastAPI:
    """The application of a run, its model in memory."""
    live = LiveCatalogue.of(LoadedRun.load(run, Catalogue.discover(plugins)))
    service = Service(live.model, run.resolve().name, live, options.editable)
    return create_app(service, options, leave_in_time)


def leave_in_time() -> None:
    """Have this process end within `LEAVING` seconds, by force and with exit code 1 if need be."""
    timer = threading.Timer(LEAVING, _leave)
    timer.daemon = True  # nobody waits for it
    timer.start()


def _leave() -> None:
    print(f"the model hangs: given up after {LEAVING:g} seconds", file=sys.stderr, flush=True)
    os._exit(1)


def worker() -> FastAPI:
    """The application of a process that shares its port with others."""
    quiet_libraries()
    told = json.loads(os.environ[HANDED_ON])
    return load_app(Path(told["run"]), Options(**told["options"]), [Path(one) for one in told["plugins"]])


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound; `UserError` where it cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        told = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"--port {port}: cannot listen on {host}: {told}") from None
