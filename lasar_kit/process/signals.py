"""SIGTERM and SIGINT: they end a run at once, or where training can be taken up again."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

AGAIN = 0.05
"""Seconds until a signal is sent once more that came where no exception gets through."""

PREEMPTED = 75
"""Exit code of a run that SIGTERM ended (EX_TEMPFAIL of sysexits.h): try again later."""


class Stopped(BaseException):
    """A signal ended the run; `place` says where it was."""

    def __init__(self, number: int, place: str = "") -> None:
        name = signal.Signals(number).name
        super().__init__(f"{place or 'stopped'}: {name}; run it again to go on")
        self.number = number
        self.code = PREEMPTED if number == signal.SIGTERM else 128 + number


class _Pending:
    """The signal that waits for a good moment, 0 for none, and whether signals wait at all."""

    number = 0
    waits = False


def pending() -> int:
    """The signal that this process has been sent while it is `deferred`; 0 for none."""
    return _Pending.number


@contextmanager
def heeded() -> Iterator[None]:
    """Have SIGTERM end the run by `Stopped` and SIGINT by `KeyboardInterrupt`, unless they are `deferred`.

    Only a main thread can; elsewhere signals do what they did.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _take) for number in (signal.SIGTERM, signal.SIGINT)}
    tell = sys.unraisablehook
    sys.unraisablehook = partial(_once_more, tell)
    try:
        yield
    finally:
        sys.unraisablehook = tell
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Let a signal wait, for who asks `pending`; a second SIGINT does not wait."""
    _Pending.waits = True
    try:
        yield
        if _Pending.number:
            raise Stopped(_Pending.number)
    finally:
        _Pending.waits, _Pending.number = False, 0


def _once_more(tell: Callable[[sys.UnraisableHookArgs], Any], lost: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in a finaliser, or in a callback of its own imports; a signal counts all
    the same, and is told of when it does."""
    error = lost.exc_value
    if not isinstance(error, Stopped | KeyboardInterrupt):
        tell(lost)
        return
    number = error.number if isinstance(error, Stopped) else signal.SIGINT
    again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _take(number: int, frame: FrameType | None) -> None:
    if _Pending.waits and (number == signal.SIGTERM or not _Pending.number):
        _Pending.number = _Pending.number or number
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise Stopped(number)
