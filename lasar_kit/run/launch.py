"""Starting one run on many processes, joining them, and ending them all when one fails."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn

from lasar_kit.errors import UserError
from lasar_kit.process.signals import Stopped

RANK = "LOCAL_RANK"
"""Set by torchrun and accelerate in every process that they start."""

PATIENCE = timedelta(days=7)
"""How long processes wait for the main one, which may fit a quantizer or ask a teacher meanwhile."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal to be sent when the parent process ends."""

LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""Of errors in an exchange with a process that has gone."""


_last: list[Any] = []
"""The last exchange, held to the end: a mesh of sharded weights keeps the threads, and the one that let go of
it while the interpreter ends would abort a process that is done."""


def inside() -> bool:
    """Whether a launcher started this process."""
    return RANK in os.environ


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run this command line on so many processes of this machine, by torchrun; the exit code."""
    import torch
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    devices = torch.cuda.device_count()
    if 0 < devices < processes:
        raise UserError(f"--processes {processes}: one GPU each is needed, and there are {devices}")
    logging.disable()  # the run itself says what is wrong
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    # Distributed training looks for parameters that no loss reaches, and says so where it finds none.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # The same imports as here, without the current folder that `python -m` adds.
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}
    options = ["--standalone", "--nproc-per-node", str(processes), "--module", "lasar_kit"]
    try:
        run.run(run.get_args_parser().parse_args([*options, *arguments]))
    except ChildFailedError as error:
        # One that was killed says nothing; the others fail for want of it, perhaps within the same second.
        for rank, failure in error.failures.items():
            if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM:
                name = signal.Signals(-failure.exitcode).name
                sys.stderr.write(f"process {rank} was ended by {name}; run it again to go on\n")
                return 128 - failure.exitcode
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    except SignalException as error:
        return Stopped(error.sigval).code
    return 0


@contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes of a run; where no launcher started this one, nothing special.

    When one process fails, it says why and goes; its launcher ends the others, which may be waiting for it.
    """
    if not inside():
        yield
        return
    _end_with_launcher()
    store = _join()
    try:
        yield
        _wait()
    except BaseException as error:
        _leave(error, store)
    _part()


def _end_with_launcher() -> None:
    """Have the system kill this process when its launcher is killed, so that none is left to write on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _join() -> Any:
    """Set up the exchange between processes; a store that they all see, even when one has gone."""
    import torch
    import torch.distributed as dist
    import torch.distributed.nn  # functions with the exchange as a default: made now, or it would never end
    from accelerate import PartialState
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    PartialState(cpu=forced or device is None or device.type == "mps", timeout=PATIENCE)
    if not dist.is_initialized():
        return None
    store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    return PrefixStore("lasar_kit", store)


def _wait() -> None:
    """No process ends before all are done."""
    import torch.distributed as dist

    if dist.is_initialized():
        _last.append(dist.barrier(async_op=True))
        _last[-1].wait()


def _part() -> None:
    """End the exchange and its threads: one that lets go of a tensor while the interpreter ends aborts it."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()  # wrapped models hold it too, in cycles


def _leave(error: BaseException, store: Any) -> NoReturn:
    """Say what went wrong, unless another process has said so already, and go at once.

    Not by way of the interpreter's own end, which may wait for exchanges that will never be.
    """
    if isinstance(error, UserError):
        code, text = 2, "\n".join(error.lines) + "\n"
    elif isinstance(error, Stopped):
        code, text = error.code, f"{error}\n"
    elif isinstance(error, KeyboardInterrupt):  # the launcher is interrupted too, and says so
        code, text = 128 + signal.SIGINT, ""
    elif isinstance(error, RuntimeError) and any(words in str(error) for words in LOST):
        code, text = 1, f"process {os.environ.get('RANK')} has lost another one, and ends\n"
    else:
        code, text = 1, "".join(traceback.format_exception(error))
    mine = f"{code} {os.environ.get('RANK')}"
    try:
        held = mine if store is None else store.compare_set("failure", "", mine).decode()
    except Exception:  # the store went with the process that held it, so another one failed
        held = f"{code} another"
    if held == mine:
        sys.stderr.write(text)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(held.split()[0]))


def make_deterministic() -> None:
    """Have torch refuse what does not repeat bit by bit, and choose what does (docs/determinism.md)."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.set_float32_matmul_precision("highest")
