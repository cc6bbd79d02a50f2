"""A command of an environment, begun from a process that has loaded its libraries already.

    python preloaded.py SCRIPT SOCKET

listens at SOCKET and runs SCRIPT, a console script of this environment, in a fork of its own for each caller:
with the caller's arguments, folder, variables and streams, and with no module of the kit loaded before. Only
what takes seconds is there: torch and the libraries around it. It ends when its standard input does.

Where SCRIPT starts processes by torch's launcher, each is a fork of the launcher: a child of its own, in a
session of its own, as by torch itself, and again with no module of the kit loaded before.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

LIBRARIES = (
    "torch",
    "torch._dynamo",  # which the first optimizer loads
    "torch.distributed.checkpoint.state_dict",
    "torch.distributed.run",
    "transformers",
    "transformers.models.qwen3.modeling_qwen3",
    "accelerate",
    "accelerate.commands.launch",
    "peft",
    "jaxtyping",
    "polars",
    "sklearn.cluster",
    "sklearn.decomposition",
    "sklearn.feature_extraction.text",
    "scipy.stats",
    "hypothesis",
    "pydantic.types",
    "rich.progress",
    "typer",
)
HERE: set[str] = set()
"""Packages that were loaded before the script began."""
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


@contextmanager
def serving(
    python: str | Path, script: Path, called: Path, variables: dict[str, str] | None = None
) -> Iterator[None]:
    """Have the file `called` run `script` by an interpreter, preloaded, for as long as this lasts."""
    with TemporaryDirectory() as place:  # the path of a socket is to be short
        address = f"{place}/socket"
        called.write_text(CALLER.format(python=python, address=address))
        called.chmod(0o755)
        server = subprocess.Popen(
            [python, "-W", "ignore", __file__, script, address],
            env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield
        server.communicate()  # closes its input, upon which it ends


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
    HERE.update(name.partition(".")[0] for name in sys.modules)
    sys.path[0] = str(Path(script).parent)
    importlib.invalidate_caches()
    handler = "torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler"
    importlib.import_module(handler).SubprocessHandler._popen = _forked
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


class Forked:
    """A child of this process; as much of `subprocess.Popen` as torch's launcher asks for."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        if self.returncode is None and (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(found[1])
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end; `subprocess.TimeoutExpired` where it does not come in so many seconds."""
        if self.poll() is None:
            ended = os.pidfd_open(self.pid)
            try:
                if not select.select([ended], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(str(self.pid), timeout)
            finally:
                os.close(ended)
            self.poll()
        assert self.returncode is not None
        return self.returncode


def _forked(handler: Any, command: tuple[str, ...], variables: dict[str, str]) -> Forked:
    """Start `python -u -m MODULE …`, or another interpreter's command, as a fork."""
    module = command.index("-m") + 1
    if child := os.fork():
        return Forked(child)
    code = 1
    try:
        _begin_anew(variables)
        sys.argv[:] = command[module:]
        runpy.run_module(command[module], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:  # of the launcher, whose frames stand above, nothing is to end here
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _begin_anew(variables: dict[str, str]) -> None:
    """Leave behind what a new process would not have of its parent."""
    gc.freeze()  # nothing of the parent's is collected, which might close a file that has another's number
    os.setsid()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.disable(logging.NOTSET)
    os.environ.clear()
    os.environ.update(variables)
    compiled = {
        name.partition(".")[0]
        for name, module in sys.modules.items()
        if isinstance(getattr(module, "__loader__", None), ExtensionFileLoader)
    }
    for name in list(sys.modules):  # the kit, and plugins
        if name.partition(".")[0] not in HERE | compiled | sys.stdlib_module_names:
            del sys.modules[name]


if __name__ == "__main__":
    script, address = sys.argv[1:]
    sys.argv[:] = [script.removesuffix(".own")]
    main(script, address)
