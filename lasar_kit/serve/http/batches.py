"""Requests gathered into batches: what comes within a few milliseconds is answered in one pass."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from lasar_kit.serve.engine import Answer, Asked
from lasar_kit.serve.http.meters import Meters

LONGEST_WAIT = 60
"""Seconds after which a client is told at most to come again."""

LONGEST_TRIAL = 5.0
"""Seconds that a model which failed has to show that it answers again."""
LONGEST_BATCH = 60.0
"""Seconds of a batch after which the model is taken to hang, until it ends."""


class Full(Exception):
    """The queue holds all it may; `after` says in how many seconds to ask again."""

    def __init__(self, after: int) -> None:
        super().__init__(after)
        self.after = after


@dataclass(eq=False)
class _Waiting:
    asked: Asked
    answer: asyncio.Future[Answer]
    since: float = field(default_factory=time.monotonic)


class Batches:
    """A queue of histories that one thread answers, batch by batch, in the order in which they came.

    A batch is closed at `most` histories, or once the oldest has waited `wait` seconds; what comes meanwhile
    goes into the next. Only what is alike in `Asked.together` shares one. No more than `room` histories may
    wait.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Asked]], list[Answer]],
        most: int,
        wait: float,
        room: int,
        meters: Meters,
    ) -> None:
        self.answer, self.most, self.wait, self.room, self.meters = answer, most, wait, room, meters
        self.queue: deque[_Waiting] = deque()
        self.arrived = asyncio.Event()
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.seconds_each = 0.0
        """What a history took lately."""
        self.failed = False
        """Whether no history of the last batch could be answered."""
        self.began: float | None = None
        """When the batch that is being answered was begun."""

    async def ask(self, asked: Sequence[Asked]) -> list[Answer]:
        """The answers, in order; `Full` where there is no room for all of them.

        Cancelled, it takes what is not being answered yet out of the queue.
        """
        if len(self.queue) + len(asked) > self.room:
            seconds = (len(self.queue) + len(asked)) * self.seconds_each
            raise Full(min(max(math.ceil(seconds), 1), LONGEST_WAIT))
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(one, loop.create_future()) for one in asked]
        self.queue.extend(waiting)
        self._changed()
        self.arrived.set()
        try:
            return list(await asyncio.gather(*(one.answer for one in waiting)))
        finally:
            for one in waiting:
                one.answer.cancel()
            if any(one in self.queue for one in waiting):
                self.queue = deque(one for one in self.queue if not one.answer.cancelled())
                self._changed()

    async def able(self, simple: Asked) -> bool:
        """Whether there is room, and the model answers: where it last failed, it is asked for something
        `simple`, since nobody else may ask a server that is not ready. A device that hangs raises nothing, so
        it is not waited for."""
        if self.began is not None and time.monotonic() - self.began > LONGEST_BATCH:
            return False
        if self.failed and len(self.queue) < self.room:
            with suppress(Exception):
                await asyncio.wait_for(self.ask([simple]), LONGEST_TRIAL)
        return not self.failed and len(self.queue) < self.room

    async def run(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next()
            self.began = start = time.monotonic()
            found = await loop.run_in_executor(self.pool, self._answered, [one.asked for one in batch])
            taken, self.began = time.monotonic() - start, None
            self.seconds_each = taken / len(batch)
            self.meters.batch(len(batch), taken)
            self.failed = not any(isinstance(answer, Answer) for answer in found)
            for one, answer in zip(batch, found, strict=True):
                if one.answer.done():
                    continue  # nobody waits for it any more
                if isinstance(answer, Answer):
                    one.answer.set_result(answer)
                else:
                    one.answer.set_exception(answer)

    def close(self) -> None:
        """End the thread."""
        self.pool.shutdown(wait=True)

    async def _next(self) -> list[_Waiting]:
        """The next batch, once it is full or its oldest has waited."""
        while len(self.queue) < self.most:
            left = self.queue[0].since + self.wait - time.monotonic() if self.queue else None
            if left is not None and left <= 0:
                break
            self.arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.arrived.wait(), left)
        alike, rest = list[_Waiting](), deque[_Waiting]()
        for one in self.queue:
            fits = len(alike) < self.most and one.asked.together == self.queue[0].asked.together
            (alike if fits else rest).append(one)
        self.queue = rest
        self._changed()
        return alike

    def _answered(self, asked: Sequence[Asked]) -> Sequence[Answer | Exception]:
        """In the thread. Where a batch fails, each is tried alone: one must not cost the others theirs."""
        try:
            return self.answer(asked)
        except Exception as error:
            if len(asked) == 1:
                return [error]
            return [self._answered([one])[0] for one in asked]

    def _changed(self) -> None:
        self.meters.waiting(len(self.queue))
