"""A command of an environment, begun from a process that has loaded its libraries already.

    python preloaded.py SCRIPT SOCKET

listens at SOCKET and runs SCRIPT, a console script of this environment, in a fork of its own for each caller:
with the caller's arguments, folder, variables and streams, and with no module of the kit loaded before. Only
what takes seconds is there: torch and the libraries around it. It ends when its standard input does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

LIBRARIES = (
    "torch",
    "transformers",
    "transformers.models.qwen3.modeling_qwen3",
    "polars",
    "sklearn",
    "scipy",
)
CALLER = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(asked)
    sys.exit(int(server.recv(8) or b"70"))
"""
"""Stands in the place of the script: asks for it, waits, and ends as it did."""


def main(script: str, address: str) -> None:
    """Serve callers, one after the other; a fork for one goes on from here as the script."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # no collection of a fork's goes through all that
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while listening not in select.select([listening, sys.stdin], [], [])[0] or _serve(listening):
            if sys.stdin in select.select([sys.stdin], [], [], 0)[0]:
                return
    sys.path[0] = str(Path(script).parent)
    importlib.invalidate_caches()
    runpy.run_path(script, run_name="__main__")


def _serve(listening: socket.socket) -> bool:
    """Fork for a caller; whether this is the process that serves on."""
    with listening.accept()[0] as caller:
        head, streams, *_ = socket.recv_fds(caller, 8, 3)
        with caller.makefile("rb") as given:
            arguments, folder, variables = json.loads(given.read(int.from_bytes(head, "big")))
        if child := os.fork():
            for stream in streams:
                os.close(stream)
            caller.sendall(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
            return True
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv[1:] = arguments
    return False


if __name__ == "__main__":
    script, address = sys.argv[1:]
    sys.argv[:] = [script.removesuffix(".own")]
    main(script, address)
