"""Who asks together is answered together; a model that fails or hangs, and what `/ready` says of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
from fastapi.testclient import TestClient

from lasar_kit.serve.engine import Answer, Asked
from lasar_kit.serve.http import batches as batches_module
from lasar_kit.serve.http.app import Options, create_app
from lasar_kit.serve.http.batches import Batches, _Waiting
from lasar_kit.serve.http.meters import Meters
from lasar_kit.serve.http.service import Service
from lasar_kit.serve.recommend import LoadedRun


def batches(answer: Any, **options: Any) -> Batches:
    return Batches(answer, **{"most": 32, "wait": 0.0, "room": 100, **options}, meters=Meters())


def plain(number: int, k: int = 1, width: int = 10) -> Asked:
    return Asked(np.array([number]), k, width)


class Recorded:
    """Answers with the history's first row as the depth, and keeps the batches; some rows raise."""

    def __init__(self, *bad: int) -> None:
        self.bad, self.seen = bad, list[list[int]]()

    def __call__(self, asked: Any) -> list[Answer]:
        rows = [int(one.history[0]) for one in asked]
        self.seen.append(rows)
        if set(rows) & set(self.bad):
            raise ValueError("bad row")
        return [Answer(None, row) for row in rows]  # type: ignore[arg-type]


def run_together(found: Batches, asked: list[list[Asked]]) -> list[Any]:
    """What those who ask at the same time get."""

    async def main() -> list[Any]:
        answers = [asyncio.create_task(found.ask(own)) for own in asked]
        await asyncio.sleep(0)  # all are in the queue before the first batch is taken
        task = asyncio.create_task(found.run())
        got = await asyncio.gather(*answers, return_exceptions=True)
        task.cancel()
        return got

    return asyncio.run(main())


def test_those_who_come_together_share_a_batch_and_each_gets_his_own() -> None:
    model = Recorded()
    got = run_together(batches(model, most=4), [[plain(1), plain(2)], [plain(3)], [plain(4), plain(5)]])
    assert [[one.depth for one in own] for own in got] == [[1, 2], [3], [4, 5]]
    assert model.seen == [[1, 2, 3, 4], [5]]


def test_searches_of_other_widths_share_no_batch() -> None:
    model = Recorded()
    got = run_together(batches(model), [[plain(1)], [plain(2, width=20)], [plain(3, k=9)]])
    assert [own[0].depth for own in got] == [1, 2, 3]
    assert model.seen == [[1, 3], [2]]


def test_who_fails_fails_alone() -> None:
    model = Recorded(2)
    first, second, third = run_together(batches(model), [[plain(1)], [plain(2)], [plain(3)]])
    assert (first[0].depth, third[0].depth) == (1, 3)
    assert isinstance(second, ValueError)
    assert model.seen == [[1, 2, 3], [1], [2], [3]]


class Hangs(Recorded):
    """Answers nothing before it may `go`; has `begun` once it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, asked: Any) -> list[Answer]:
        self.begun.set()
        self.go.wait(20)
        return super().__call__(asked)


@pytest.mark.parametrize("failed", [True, False])
def test_a_model_that_hangs_is_not_ready_and_nobody_waits_to_hear_it(
    failed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a batch that failed, when it is asked for a list, and in a batch that takes for ever."""
    model = Hangs()
    found = batches(model)

    async def main() -> list[bool]:
        found.failed = failed
        task = asyncio.create_task(found.run())
        asked = asyncio.create_task(found.ask([plain(1)] if not failed else []))
        ready = []
        if not failed:
            await asyncio.to_thread(model.begun.wait, 20)
            ready.append(await found.able(plain(2)))
        monkeypatch.setattr(batches_module, *(("LONGEST_TRIAL", 0.01) if failed else ("LONGEST_BATCH", 0.0)))
        ready += [await found.able(plain(2)), await found.able(plain(2))]
        assert model.begun.is_set()
        assert not found.queue
        monkeypatch.undo()
        model.go.set()
        await asked
        ready.append(await found.able(plain(2)))
        task.cancel()
        return ready

    assert asyncio.run(main()) == [*([] if failed else [True]), False, False, True]


class Leaves(asyncio.Event):
    """Whoever waits leaves before the batch is due; then another one comes, so many times."""

    def __init__(self, found: Batches, times: int) -> None:
        super().__init__()
        self.found, self.left = found, times

    async def wait(self) -> Literal[True]:
        if self.found.queue:
            self.found.queue.clear()
            raise TimeoutError
        self.left -= 1
        self.found.wait = 0.0 if self.left == 0 else 60.0
        self.found.queue.append(_Waiting(plain(self.left), asyncio.get_running_loop().create_future()))
        return True


def test_however_many_leave_before_they_are_answered_the_next_one_is() -> None:
    async def main() -> list[_Waiting]:
        found = batches(Recorded())
        found.arrived = Leaves(found, 3000)
        return await found._next()

    assert [int(one.asked.history[0]) for one in asyncio.run(main())] == [0]


class Breaks(Service):
    """Raises on histories that hold one of `bad` rows; on all where it is None."""

    bad: tuple[int, ...] | None = ()

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        if self.bad is None or any(row in one.history for one in asked for row in self.bad):
            raise RuntimeError("CUDA error: device-side assert triggered")
        return super().answer(asked)


def test_a_server_whose_model_fails_is_not_ready(model: LoadedRun) -> None:
    """Neither is it for good: while nothing is asked, `/ready` asks. One request that fails is no reason."""
    service = Breaks(model, "shop")
    with TestClient(create_app(service, Options()), raise_server_exceptions=False) as client:

        def status() -> tuple[int, int]:
            return client.post("/recommend", json={"histories": [["i1", "i2"]]}).status_code, client.get(
                "/ready"
            ).status_code

        assert status() == (200, 200)
        service.bad = (2,)
        assert status() == (500, 200)
        service.bad = None
        assert status() == (500, 503)
        assert client.get("/ready").json() == {"errors": [{"field": "", "message": "not now"}]}
        service.bad = ()
        assert client.get("/ready").status_code == 200
        service.bad = None
        assert client.get("/ready").status_code == 200, "nobody has asked since"
