"""The routes of a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from lasar_kit import __version__
from lasar_kit.errors import UserError, one_line
from lasar_kit.serve.engine import Answer, Asked
from lasar_kit.serve.http import meters
from lasar_kit.serve.http.batches import Batches, Full
from lasar_kit.serve.http.bodies import (
    Found,
    Item,
    Items,
    Mistake,
    NewItems,
    Recommendations,
    RecommendBody,
    Refusal,
    Withdrawn,
)
from lasar_kit.serve.http.gate import Gate
from lasar_kit.serve.http.service import MOST_TOLD, Service, Wrong
from lasar_kit.serve.live.catalogue import LiveCatalogue
from lasar_kit.serve.live.ledger import Unwritable
from lasar_kit.serve.recommend import LoadedRun

PAGE = Path(__file__).parent / "page.html"
FACTS = '<script type="application/json" id="facts">{}</script>'
"""Where the page has what it tells of the run."""
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
}
"""The page loads nothing from anywhere, and asks this server alone."""
Result = TypeVar("Result")
GONE = 499
"""The status, of nginx's making, that is counted where a client has left."""


@dataclass(frozen=True)
class Options:
    """How a server gathers and refuses.

    `most`: histories of a batch. `wait`: seconds that the first of a batch waits for others. `room`: how many
    histories may wait. `megabytes`: of a request's body. `editable`: whether requests may change the
    catalogue.
    """

    most: int = 32
    wait: float = 0.003
    room: int = 1024
    megabytes: int = 8
    editable: bool = True


class Ascii(JSONResponse):
    """JSON that any text can be written in, lone surrogates included."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


class Server:
    """What the routes share."""

    def __init__(self, service: Service, options: Options, ending: Callable[[], None]) -> None:
        self.service, self.options, self.ending = service, options, ending
        self.meters = meters.Meters()
        self.batches = Batches(service.answer, options.most, options.wait, options.room, self.meters)
        self.ready = False

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Answer batches while the server is up; what was taken in is answered before it is down, or has been
        given up, and the end waits for the thread alone."""
        self.meters.items(self.service.listed)
        task = asyncio.create_task(self.batches.run())
        self.ready = True
        try:
            yield
        finally:  # a second signal cancels this
            self.ready = False
            self.ending()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.batches.close()

    async def follow(self) -> None:
        """Have what others have changed in the catalogue by now, between two batches."""
        live = self.service.live
        if live is not None and live.stale():
            try:
                await self._between_batches(live.follow)
            except UserError as error:
                raise HTTPException(503, error.lines[0]) from error

    async def add(self, items: NewItems) -> Any:
        """Add items to the catalogue, all or none; who is told so finds them in every list from then on."""
        live = self._edited()
        embedded = await asyncio.to_thread(live.embed, self.service.table(items))
        rows = await self._between_batches(partial(live.add, embedded))
        made = [self.service.item(one.id) for one in items.items]
        assert len(made) == len(rows)
        return Ascii(Items(items=[one for one in made if one]).model_dump(), status_code=201)

    async def withdraw(self, name: str) -> Any:
        """List an item no more; histories may hold it still, and it may come back."""
        live = self._edited()
        await self.follow()
        if name not in self.service.model.row_of:
            return _unknown(name)
        await self._between_batches(partial(live.withdraw, [name]))
        return Ascii(Withdrawn(id=name, withdrawn=True).model_dump())

    def _edited(self) -> LiveCatalogue[LoadedRun]:
        if self.service.live is None or not self.service.editable:
            raise HTTPException(403, "this server does not change the catalogue")
        return self.service.live

    async def _between_batches(self, change: Callable[[], Result]) -> Result:
        """Run it in the thread that answers."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.batches.pool, change)
        finally:
            self.meters.items(self.service.listed)

    async def recommend(self, body: RecommendBody, request: Request) -> Any:
        if len(body.histories) > self.options.room:  # which the queue would refuse however empty it is
            told = f"this server takes {self.options.room} at once"
            raise Wrong([Mistake(field="histories", message=told)])
        await self.follow()
        # In a thread: a filter reads the whole item table.
        asked, unknown, named = await asyncio.to_thread(self.service.asked, body)
        found = await self._unless_gone(asked, request)
        if found is None:
            self.meters.gone()
            return Response(status_code=GONE)
        pairs = zip(found, unknown, strict=True)
        lists = [self.service.told(answer, skipped, body.thoughts) for answer, skipped in pairs]
        return Ascii(Recommendations(lists=lists, unknown=named).model_dump(exclude_none=True))

    async def _unless_gone(self, asked: Sequence[Asked], request: Request) -> list[Answer] | None:
        """The answers; None once the client has left, and nothing more is done for it."""
        answers = asyncio.create_task(self.batches.ask(asked))
        left = asyncio.create_task(_left(request))
        try:
            await asyncio.wait({answers, left}, return_when=asyncio.FIRST_COMPLETED)
            return answers.result() if answers.done() else None
        finally:
            answers.cancel()
            left.cancel()
            await asyncio.gather(answers, left, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def create_app(service: Service, options: Options, ending: Callable[[], None] = lambda: None) -> FastAPI:
    """The application of a loaded run; `ending` is called when it begins to end."""
    server = Server(service, options, ending)
    app = FastAPIOffline(  # whose page of the interface asks no other host
        title=f"lasar-kit: {service.name}",
        version=__version__,
        lifespan=server.lifespan,
        default_response_class=Ascii,
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.state.server = server
    refusals: dict[int | str, dict[str, Any]] = {
        422: {"model": Refusal, "description": "A field that cannot be what it is, by name."},
        503: {"model": Refusal, "description": "The queue is full; Retry-After says when to come again."},
    }
    app.post("/recommend", response_model=Recommendations, responses=refusals)(server.recommend)

    _catalogue_routes(app, server)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "alive"}

    @app.get("/ready", responses={503: {"model": Refusal}})
    async def ready() -> Any:
        """Whether requests are taken: the model is loaded and answers, and the queue has room."""
        if not (server.ready and await server.batches.able(service.simple)):
            return _refused(503, [Mistake(field="", message="not now")])
        return {"status": "ready"}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(server.meters.text(), media_type=meters.TYPE)

    template = PAGE.read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        facts = {"name": service.name, "depths": service.support, "items": service.listed}
        shown = json.dumps(facts).replace("<", "\\u003c")  # which may end no script
        text = template.replace(FACTS, FACTS.replace("{}", shown))
        return Response(text, media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)

    _answer_mistakes(app)
    app.add_middleware(Gate, meters=server.meters, most_bytes=options.megabytes * 2**20)
    return app


def _catalogue_routes(app: FastAPI, server: Server) -> None:
    refusals: dict[int | str, dict[str, Any]] = {
        403: {"model": Refusal, "description": "This server does not change the catalogue."},
        404: {"model": Refusal, "description": "No such item."},
        422: {"model": Refusal, "description": "What cannot be added, by name."},
        503: {"model": Refusal, "description": "The catalogue could not be written: nothing has changed."},
    }

    @app.get("/items", response_model=Found)
    async def search(
        title: Annotated[str, Query(max_length=200)] = "", limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> Any:
        """Items whose titles hold a text."""
        await server.follow()
        return Ascii(Found(items=await asyncio.to_thread(server.service.search, title, limit)).model_dump())

    @app.get("/items/{name:path}", response_model=Item, responses={404: refusals[404]})
    async def item(name: str) -> Any:
        """What the catalogue says of an item, and its semantic ID."""
        await server.follow()
        found = server.service.item(name)
        return _unknown(name) if found is None else Ascii(found.model_dump())

    told: dict[int | str, dict[str, Any]] = {code: refusals[code] for code in (403, 422, 503)}
    app.post("/items", response_model=Items, status_code=201, responses=told)(server.add)
    app.delete("/items/{name:path}", response_model=Withdrawn, responses=refusals)(server.withdraw)


def _unknown(name: str) -> Response:
    return _refused(404, [Mistake(field="id", message=f"no item {one_line(name)!r} in this run")])


def _answer_mistakes(app: FastAPI) -> None:
    @app.exception_handler(Wrong)
    async def wrong(request: Request, error: Wrong) -> Response:
        return _refused(422, error.mistakes)

    @app.exception_handler(UserError)
    async def refused(request: Request, error: UserError) -> Response:
        told = [Mistake(field="items", message=line) for line in error.lines[:MOST_TOLD]]
        return _refused(503 if isinstance(error, Unwritable) else 422, told)

    @app.exception_handler(Full)
    async def full(request: Request, error: Full) -> Response:
        told = Mistake(field="", message=f"the queue is full; ask again in {error.after} s")
        return _refused(503, [told], {"Retry-After": str(error.after)})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _refused(422, [_mistake(one) for one in error.errors()[:MOST_TOLD]])

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        told = one_line(str(error.detail))
        if error.status_code == 400:  # FastAPI's, for a body that is not even text
            return _refused(422, [Mistake(field="body", message=told)])
        return _refused(error.status_code, [Mistake(field="", message=told)], error.headers)


def _mistake(error: dict[str, Any]) -> Mistake:
    """Where a request is wrong, as it would be written: `histories[0][2]`."""
    if error["type"] == "json_invalid":
        return Mistake(field="body", message=f"no JSON: {error.get('ctx', {}).get('error', error['msg'])}")
    if isinstance(error.get("input"), bytes):  # FastAPI's, for a body that is not said to be JSON
        told = "is no JSON by its header; send 'Content-Type: application/json'"
        return Mistake(field="body", message=told)
    places = [place for place in error["loc"] if place != "body"]
    field = "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in places)
    return Mistake(field=one_line(field.removeprefix(".")) or "body", message=one_line(error["msg"]))


def _refused(status: int, mistakes: Sequence[Mistake], headers: Mapping[str, str] | None = None) -> Response:
    return Ascii(Refusal(errors=list(mistakes)).model_dump(), status_code=status, headers=headers)
