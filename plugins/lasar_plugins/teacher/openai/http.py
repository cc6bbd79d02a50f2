"""One HTTP exchange: JSON out, bytes back, within a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage, HTTPResponse
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

LARGEST = 16 * 2**20
"""Bytes of an answer that are read at most."""


@dataclass(frozen=True)
class Reply:
    """A reply of whatever status."""

    status: int
    body: bytes
    wait: float
    """Seconds that its Retry-After asks for, 0 without one."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key to wherever it points."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


_OPENER = build_opener(_NoRedirect)


def post(url: str, body: bytes, headers: dict[str, str], timeout: float) -> Reply:
    """Send `body`; `OSError` or `http.client.HTTPException` where no whole reply comes in time."""
    started = time.monotonic()
    request = Request(url, data=body, headers=headers, method="POST")
    response: Any
    try:
        response = _OPENER.open(request, timeout=timeout)
    except HTTPError as error:  # a reply too: its status is judged by the caller
        response = error
    with response:
        fields: HTTPMessage = response.headers
        content = _read(response, fields, started + timeout)
        return Reply(response.status, content, retry_after(fields.get("Retry-After"), time.time()))


def _read(response: HTTPResponse, fields: HTTPMessage, until: float) -> bytes:
    """The body; unlike a socket's own timeout, `until` also ends one that comes in drips."""
    content = bytearray()
    while part := response.read1(65536):
        content += part
        if time.monotonic() > until:
            raise TimeoutError("the answer came too slowly")
        if len(content) > LARGEST:
            raise OSError("the answer is too long")
    length = fields.get("Content-Length", "")
    if length.isdecimal() and len(content) < int(length):
        raise OSError(f"the answer was cut off after {len(content)} of {length} bytes")
    return bytes(content)


def retry_after(value: str | None, now: float) -> float:
    """Seconds from `now` (a Unix time) that a Retry-After asks for, given as seconds or as a date.

    >>> retry_after("Thu, 01 Jan 1970 00:01:40 GMT", now=40.0)
    60.0
    """
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0
