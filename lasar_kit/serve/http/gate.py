"""What every request passes: its size is bounded, its answer counted."""

from __future__ import annotations

import time
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lasar_kit.serve.http.meters import Meters

PATHS = ("/", "/recommend", "/items", "/health", "/ready", "/metrics", "/openapi.json", "/docs")
"""Paths that are counted by name; of `/items/…` all as one."""


class Gate:
    """ASGI middleware around an application: it is handed whole bodies, and none that is too large."""

    def __init__(self, app: ASGIApp, meters: Meters, most_bytes: int) -> None:
        self.app, self.meters, self.most = app, meters, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a request's answer; refuse a body that is too large as soon as that is known."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            messages = await _body(receive, self.most)
            if messages is None:
                await _refusal(self.most)(scope, receive, counted)
            else:
                await self.app(scope, _again(messages, receive), counted)
        finally:
            self.meters.request(_path(scope), status, time.perf_counter() - start)


async def _body(receive: Receive, most: int) -> list[Message] | None:
    """The messages of a body, read to its end or to where the client left; None for one that is too large."""
    messages: list[Message] = []
    read = 0
    while not messages or messages[-1].get("more_body", False):
        messages.append(await receive())
        read += len(messages[-1].get("body", b""))
        if read > most:
            return None
    return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    """What was received, and then what is."""
    left = iter(messages)

    async def next_message() -> Message:
        message = next(left, None)
        return await receive() if message is None else message

    return next_message


def _refusal(most: int) -> JSONResponse:
    told: dict[str, Any] = {"field": "body", "message": f"larger than {most:,} bytes"}
    return JSONResponse({"errors": [told]}, status_code=413, headers={"Connection": "close"})


def _path(scope: Scope) -> str:
    path = str(scope["path"])
    known = "/items" if path.startswith("/items") else path
    return known if known in PATHS else "other"
