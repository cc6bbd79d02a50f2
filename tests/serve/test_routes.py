"""What a server does besides recommending: refusals, what is counted, who has left, what does not fit."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.serve.engine import Answer, Asked
from lasar_kit.serve.http.app import GONE, Options, create_app
from lasar_kit.serve.http.bodies import RecommendBody
from lasar_kit.serve.http.service import Service
from lasar_kit.serve.recommend import LoadedRun

Serve = Callable[..., TestClient]
GOOD: dict[str, Any] = {"histories": [["i1", "i2"]]}


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "histories", "Field required"),
        ({"histories": []}, "histories", "at least 1 item"),
        ({"histories": [["i1"]] * 65}, "histories", "at most 64 items"),
        ({"histories": [["i1", 2]]}, "histories[0][1]", "valid string"),
        ({"histories": [["i1"], "i2"]}, "histories[1]", "valid list"),
        ({"histories": [[""]]}, "histories[0][0]", "at least 1 character"),
        (GOOD | {"k": 0}, "k", "greater than or equal to 1"),
        (GOOD | {"k": "3"}, "k", "valid integer"),
        (GOOD | {"k": 1001}, "k", "less than or equal to 1000"),
        (GOOD | {"exclude_history": "yes"}, "exclude_history", "valid boolean"),
        (GOOD | {"deny": "i3"}, "deny", "valid list"),
        (GOOD | {"depth": 9}, "depth", "this model's depth policy has 0, 1, 2, 3, 4"),
        (GOOD | {"filter": {"colour": {"is": ["red"]}}}, "filter.colour.[key]", "should be 'title'"),
        (GOOD | {"filter": {"price": {}}}, "filter.price", "give one of is, has, min, max"),
        (GOOD | {"filter": {"price": {"min": "5"}}}, "filter.price.min", "valid number"),
        (GOOD | {"unknown": "ignore"}, "unknown", "'refuse' or 'skip'"),
        (GOOD | {"top": 3}, "top", "Extra inputs are not permitted"),
        ([], "body", "valid dictionary"),
    ],
)
def test_a_bad_request_names_its_field(served: Serve, body: Any, field: str, says: str) -> None:
    answer = served().post("/recommend", json=body)
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert field in [error["field"] for error in errors]
    assert any(says in error["message"] for error in errors if error["field"] == field)


def test_a_request_that_no_queue_could_hold_is_not_told_to_come_again(served: Serve) -> None:
    client = served(room=2)
    answer = client.post("/recommend", json={"histories": [["i1"]] * 3})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "histories", "message": "this server takes 2 at once"}]
    assert client.post("/recommend", json={"histories": [["i1"]] * 2}).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"histories": [["\\ud800"]]}', b"[" * 100_000, b"NaN"]
)
def test_what_is_no_json_is_told(served: Serve, body: bytes) -> None:
    answer = served().post("/recommend", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] in ("body", "histories[0][0]")


def test_a_large_body_is_refused_before_it_is_read(served: Serve) -> None:
    answer = served(megabytes=1).post("/recommend", json=GOOD | {"deny": ["i1" * 300_000, "i2" * 300_000]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, "body")


KEYS = st.sampled_from(
    [
        "histories",
        "k",
        "exclude_history",
        "allow",
        "deny",
        "filter",
        "depth",
        "thoughts",
        "unknown",
        "price",
        "is",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["i1", "auto"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(body=st.dictionaries(KEYS, JSON, max_size=6) | JSON, cut=st.integers(0, 400))
def test_no_body_is_a_500(fuzzed: TestClient, body: Any, cut: int) -> None:
    text = json.dumps(body).encode()
    sent = text[: len(text) - cut] if cut < 20 else text
    answer = fuzzed.post("/recommend", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 422), (sent, answer.text)


@pytest.fixture(scope="module")
def fuzzed(model: LoadedRun) -> Any:
    with TestClient(create_app(Service(model, "shop"), Options()), raise_server_exceptions=False) as client:
        yield client


def test_items_health_and_numbers(served: Serve) -> None:
    client = served()
    found = client.get("/items/i4").json()
    assert found["id"] == "i4"
    assert found["fields"] == {
        "title": "Thing 4",
        "brand": "Bolt",
        "categories": "Soap > Bars",
        "price": "$4.00",
    }
    assert len(found["sid"]) == 3
    assert client.get("/items/none/at/all").status_code == 404
    assert client.get("/items/none").json()["errors"][0]["message"] == "no item 'none' in this run"
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    assert client.get("/nowhere").status_code == 404
    assert client.post("/items", json={"items": [{"id": "new"}]}).status_code == 403, "it has no log"
    assert client.get("/recommend").status_code == 405
    client.post("/recommend", json={"histories": [["i1"], ["i2"]]})
    client.post("/recommend", json={})
    told = client.get("/metrics").text
    assert 'lasar_requests_total{path="/recommend",status="200"} 1.0' in told
    assert 'lasar_requests_total{path="/recommend",status="422"} 1.0' in told
    assert 'lasar_requests_total{path="/items",status="404"} 2.0' in told
    assert "lasar_batch_histories_sum 2.0" in told
    assert "lasar_queue_histories 0.0" in told
    assert "lasar_items 30.0" in told


def test_the_interface_is_described(served: Serve) -> None:
    told = served().get("/openapi.json").json()
    assert set(told["paths"]) == {"/recommend", "/items", "/items/{name}", "/health", "/ready"}
    post = told["paths"]["/recommend"]["post"]
    assert set(post["responses"]) == {"200", "422", "503"}
    fields = told["components"]["schemas"]["RecommendBody"]["properties"]
    assert all("description" in field for field in fields.values())


def test_the_page_of_the_interface_needs_no_network(served: Serve) -> None:
    """Swagger UI: all that it loads comes from this server, and its validator is off."""
    client = served()
    page = client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r"""(?:src|href|url)[=:] ?["']([^"']+)["']""", page.text)
    assert {path.rpartition("/")[2] for path in loaded} == {
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "favicon.png",
        "openapi.json",
    }
    assert all(client.get(path).status_code == 200 for path in loaded)
    assert '"validatorUrl": null' in page.text
    assert not re.search(r"https?://(?!testserver)", page.text)
    assert client.get("/redoc").status_code == 404


def test_the_page_tells_every_field_and_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    body = RecommendBody.model_validate_json(block)
    assert body.filter["price"].max == 20
    told = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert told == list(RecommendBody.model_fields)
    options = set(re.findall(r"`(--[\w-]+)`", page))
    serve = {"--host", "--port", "--workers", "--batch", "--wait-ms", "--queue", "--read-only"}
    assert options == {*serve, "--table"}


class Held:
    """A service whose model answers once it is let go."""

    def __init__(self, model: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service, self.go, self.seen = Service(model, "shop"), threading.Event(), list[int]()
        answer = self.service.answer

        def held(asked: Sequence[Asked]) -> list[Answer]:
            self.seen.append(len(asked))
            assert self.go.wait(30)
            return answer(asked)

        monkeypatch.setattr(self.service, "answer", held)


async def call(app: Any, left: asyncio.Event | None = None) -> tuple[int, dict[str, str]]:
    """One request by hand; the client leaves once `left` is set."""
    got: list[Any] = []
    sent = iter([{"type": "http.request", "body": json.dumps(GOOD).encode(), "more_body": False}])

    async def receive() -> Any:
        for message in sent:
            return message
        await (left or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        got.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/recommend",
        "raw_path": b"/recommend",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "client": ("c", 1),
        "server": ("s", 80),
    }
    await app(scope, receive, send)
    return got[0]["status"], {name.decode(): value.decode() for name, value in got[0]["headers"]}


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never")


def test_a_full_queue_says_when_to_come_again_and_who_left_is_not_answered(
    model: LoadedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is being answered, two wait, a fourth finds no room; one who waits leaves, and a fifth has it."""
    held = Held(model, monkeypatch)
    app = create_app(held.service, Options(most=1, wait=0.0, room=2))
    batches = app.state.server.batches

    async def main() -> None:
        async with app.router.lifespan_context(app):
            first = asyncio.create_task(call(app))
            await until(lambda: held.seen == [1])
            left = asyncio.Event()
            second, third = asyncio.create_task(call(app)), asyncio.create_task(call(app, left))
            await until(lambda: len(batches.queue) == 2)
            status, headers = await call(app)
            assert status == 503
            assert 1 <= int(headers["retry-after"]) <= 60
            left.set()
            assert (await third)[0] == GONE
            assert len(batches.queue) == 1
            fifth = asyncio.create_task(call(app))
            await until(lambda: len(batches.queue) == 2)
            held.go.set()
            assert [(await one)[0] for one in (first, second, fifth)] == [200, 200, 200]

    asyncio.run(main())
    assert held.seen == [1, 1, 1]
    assert "lasar_clients_gone_total 1.0" in app.state.server.meters.text().decode()


def test_a_server_that_is_not_up_is_not_ready(model: LoadedRun) -> None:
    client = TestClient(create_app(Service(model, "shop"), Options()))
    assert client.get("/ready").status_code == 503
    assert client.get("/health").status_code == 200


def test_a_body_that_is_not_said_to_be_json_is_told_how(served: Callable[..., TestClient]) -> None:
    """As `curl -d` sends it."""
    sent = {
        "content": b'{"histories": [["i3"]]}',
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    answer = served().post("/recommend", **sent)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "body", "message": "is no JSON by its header; send 'Content-Type: application/json'"}
    ]
