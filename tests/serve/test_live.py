"""A catalogue that changes while it is served: items come, go and come back, and every process knows."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from fastapi.testclient import TestClient

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.serve.http.app import Options, create_app
from lasar_kit.serve.http.service import Service
from lasar_kit.serve.live import commands
from lasar_kit.serve.live import ledger as ledgers
from lasar_kit.serve.live.catalogue import LiveCatalogue
from lasar_kit.serve.live.ledger import Ledger
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.stages.tokenize.newcomers import Newcomers

SIZES = (5, 4, 3)
HISTORY = ["i3", "i4", "i9"]


class ByNumber:
    """An encoder and a quantizer: the number in an item's title, written in the bases 5, 4 and 3."""

    embeds_later, sizes = True, SIZES

    def embed(self, items: pl.DataFrame) -> np.ndarray:
        return items["title"].str.extract(r"(\d+)").cast(pl.Float32).fill_null(0).to_numpy()[:, None]

    def encode(self, items: torch.Tensor) -> torch.Tensor:
        number = items[:, 0].round().long() % 60
        return torch.stack([number // 12, number // 3 % 4, number % 3], dim=1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return (codes * torch.tensor([12, 3, 1])).sum(1, keepdim=True).float()


def newcomers() -> Newcomers:
    return Newcomers(ByNumber(), ByNumber(), "reassign", SIZES)  # type: ignore[arg-type]


@pytest.fixture
def opened(model: LoadedRun, tmp_path: Path) -> Callable[[], LiveCatalogue[LoadedRun]]:
    """Opens the catalogue of one log, each time with a model of its own."""

    def open_one() -> LiveCatalogue[LoadedRun]:
        recommender, accelerator = copy.deepcopy(model.recommender), model._accelerator
        own = LoadedRun(model.dataset, model.sids, recommender, model.width, accelerator)
        return LiveCatalogue(own, Ledger(tmp_path / "items.jsonl", "key"), newcomers)

    return open_one


@pytest.fixture
def client(opened: Callable[[], LiveCatalogue[LoadedRun]]) -> Iterator[Callable[..., TestClient]]:
    clients: list[TestClient] = []

    def make(editable: bool = True) -> TestClient:
        live = opened()
        made = TestClient(create_app(Service(live.model, "shop", live, editable), Options(wait=0.0)))
        made.__enter__()
        clients.append(made)
        return made

    yield make
    for one in clients:
        one.__exit__(None, None, None)


def new(*numbers: int, **fields: str) -> dict[str, Any]:
    return {"items": [{"id": f"new/{n}", "title": f"New {n}", **fields} for n in numbers]}


def listed(client: TestClient, k: int = 40, **body: Any) -> dict[str, float]:
    answer = client.post("/recommend", json={"histories": [HISTORY], "k": k, **body})
    assert answer.status_code == 200, answer.text
    return {one["item"]: one["score"] for one in answer.json()["lists"][0]["items"]}


def test_a_new_item_is_listed_with_the_score_of_its_semantic_id(
    client: Callable[..., TestClient], model: LoadedRun
) -> None:
    """As by a model that was bound to all items from the start; the others keep their semantic IDs."""
    server = client()
    before = {name: server.get(f"/items/{name}").json()["sid"] for name in model.row_of}
    answer = server.post("/items", json=new(7, 41, price="$7.50"))
    assert answer.status_code == 201
    made = {one["id"]: one for one in answer.json()["items"]}
    assert made["new/41"]["fields"] == {"title": "New 41", "price": "$7.50"}
    assert {name: server.get(f"/items/{name}").json()["sid"] for name in model.row_of} == before
    assert server.get("/items/new/41").json() == made["new/41"]
    sids = [*before.values(), *(one["sid"] for one in made.values())]
    assert len({tuple(sid) for sid in sids}) == len(sids) - 1, "two of the first shared one"

    whole = LoadedRun(
        replace(model.dataset, items=pl.concat([model.dataset.items, made_items(made)])),
        replace(model.sids, codes=torch.cat([model.sids.codes, codes_of(made)])),
        copy.deepcopy(model.recommender),
        model.width,
        model._accelerator,
    )
    table = whole.sids.table(whole.recommender.backbone.tokenizer)
    whole.recommender.decoder.bind(table)
    whole.recommender.prompts.extend(table)
    for history in (HISTORY, ["new/7", "i2", "new/41"]):
        (expected,) = whole.rank([history], 40)
        found = server.post("/recommend", json={"histories": [history], "k": 40}).json()["lists"][0]["items"]
        assert [one["item"] for one in found] == [one.item for one in expected]
        assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)
    assert set(listed(server, filter={"price": {"min": 7.2, "max": 7.7}})) == set(made)
    assert "lasar_items 32.0" in server.get("/metrics").text


def made_items(made: dict[str, Any]) -> pl.DataFrame:
    columns = ("id", "title", "brand", "categories", "description", "price", "features")
    rows = [
        [{**one["fields"], "id": name}.get(column, "") for column in columns] for name, one in made.items()
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def codes_of(made: dict[str, Any]) -> torch.Tensor:
    return torch.tensor([[int(token[3:-1]) for token in one["sid"]] for one in made.values()])


def test_what_is_withdrawn_is_listed_no_more_and_comes_back(client: Callable[..., TestClient]) -> None:
    """In a narrow list another takes its place, as the search is among the others."""
    server = client()
    before = listed(server)
    best = max(before, key=lambda name: before[name])
    assert server.delete(f"/items/{best}").json() == {"id": best, "withdrawn": True}
    assert server.delete(f"/items/{best}").status_code == 200, "once more is no mistake"
    assert listed(server) == pytest.approx({name: before[name] for name in before if name != best}, abs=1e-4)
    assert len(listed(server, k=5, exclude_history=True)) == 5
    assert listed(server, allow=[best]) == {}
    gone = server.get(f"/items/{best}").json()
    assert gone["withdrawn"]
    history = server.post("/recommend", json={"histories": [[best]]})
    assert history.status_code == 200, "histories may hold it"
    assert "lasar_items 29.0" in server.get("/metrics").text
    back = server.post("/items", json={"items": [{"id": best, "title": "ignored"}]}).json()["items"]
    assert back == [gone | {"withdrawn": False}]
    assert listed(server) == pytest.approx(before, abs=1e-4)


def test_servers_of_one_run_agree_and_so_does_one_that_starts_later(
    client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever one acknowledged the others know at once; also once the log was put together."""
    monkeypatch.setattr(ledgers.Ledger, "put_together", lambda self, most: put_together(self, 3))
    servers = [client() for _ in range(3)]
    for number in range(8):
        assert servers[number % 3].post("/items", json=new(40 + number)).status_code == 201
        if number % 2:
            assert servers[(number + 1) % 3].delete(f"/items/new/{40 + number}").status_code == 200
        answers = [listed(server) for server in servers[number % 3 :]]
        assert all(answer == pytest.approx(answers[0], abs=1e-4) for answer in answers)
    last = [*servers, client()]
    lists = [listed(server) for server in last]
    assert all(found == pytest.approx(lists[0], abs=1e-4) for found in lists)
    assert {name for name in lists[0] if name.startswith("new/")} == {f"new/{n}" for n in (40, 42, 44, 46)}
    told = [server.get("/items/new/47").json() for server in last]
    assert told == [told[0]] * 4
    assert told[0]["withdrawn"]


put_together = ledgers.Ledger.put_together


def test_what_cannot_be_is_refused_and_changes_nothing(
    client: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, before = client(), listed(client())
    there = server.post("/items", json={"items": [*new(41)["items"], {"id": "i3"}, {"id": "i4"}]})
    assert there.status_code == 422
    assert there.json()["errors"] == [
        {"field": "items", "message": f"item '{name}': is in the catalogue already"} for name in ("i3", "i4")
    ]
    assert "is given twice" in server.post("/items", json=new(41, 41)).text
    assert server.post("/items", json={"items": []}).status_code == 422
    wrong = server.post("/items", json={"items": [{"id": "a", "colour": "red"}]})
    assert wrong.json()["errors"][0]["field"] == "items[0].colour"
    assert server.delete("/items/none").status_code == 404
    full = [{"id": f"f{n}", "title": f"F {n}"} for n in range(32)]
    told = server.post("/items", json={"items": full})
    assert told.status_code == 422, "of sixty leaves thirty-one are free"
    assert "item 'f31': finds no semantic ID" in told.text
    reader = client(editable=False)
    for refused in (reader.post("/items", json=new(41)), reader.delete("/items/i3")):
        assert refused.status_code == 403
    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "PATIENCE", 0.0)
        other = Ledger(tmp_path / "items.jsonl", "key")
        with other.writing():
            assert server.post("/items", json=new(41)).status_code == 503
    assert listed(server) == pytest.approx(before, abs=1e-4)
    assert not (tmp_path / "items.jsonl").exists()


def test_the_command_line_counts_what_is_listed(
    opened: Callable[[], LiveCatalogue[LoadedRun]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What came and was withdrawn again is not listed."""
    live = opened()
    trained = live.model.dataset.items.height
    came = pl.DataFrame({"id": ["new/41", "new/42"], "title": ["New 41", "New 42"]})
    live.add(live.embed(came))
    live.withdraw(["new/42", "i3"])
    monkeypatch.setattr(commands, "_live", lambda run, catalogue: live)
    commands.show(Path("run"), Catalogue({}), as_json=False)
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == f"the catalogue lists {trained:,} items, 1 of which came after training"


def test_items_are_found_by_their_titles(client: Callable[..., TestClient]) -> None:
    server = client()
    server.post("/items", json={"items": [{"id": "x", "title": "A new thing 1"}, {"id": "y", "title": "É"}]})
    server.delete("/items/i11")

    def search(title: str, **options: Any) -> list[str]:
        return [
            one["item"] for one in server.get("/items", params={"title": title, **options}).json()["items"]
        ]

    assert search("THING 1") == ["i1", *(f"i{n}" for n in (10, *range(12, 20))), "x"]
    assert search("thing 1", limit=2) == ["i1", "i10"]
    assert search("é") == ["y"]
    assert search("nothing") == []
    assert len(search("")) == 20
    assert server.get("/items", params={"limit": 0}).status_code == 422


def test_a_filter_that_is_remembered_sees_what_came_since(client: Callable[..., TestClient]) -> None:
    server = client()
    condition = {"filter": {"brand": {"is": ["Acme"]}}}
    before = set(listed(server, **condition))
    server.post("/items", json=new(50, brand="acme"))
    assert set(listed(server, **condition)) == before | {"new/50"}


def test_an_item_comes_but_once_whoever_is_first(opened: Callable[[], LiveCatalogue[LoadedRun]]) -> None:
    first, second = opened(), opened()
    items = pl.DataFrame(
        {name: [""] for name in ("brand", "categories", "description", "price", "features")}
    ).with_columns(id=pl.lit("z"), title=pl.lit("Z 5"))
    embedded = second.embed(items)
    assert first.add(first.embed(items)) == [30]
    with pytest.raises(UserError, match="is in the catalogue already"):
        second.add(embedded)
    assert second.model.sid(30) == first.model.sid(30)


def test_a_log_that_is_damaged_is_told_and_no_500(client: Callable[..., TestClient], tmp_path: Path) -> None:
    server = client()
    for number in (40, 41):
        server.post("/items", json=new(number))
    path = tmp_path / "items.jsonl"
    other = Ledger(path, "key")
    other.read()
    broken = path.read_bytes().replace(b"New 40", b"New 4O")
    (tmp_path / "aside").write_bytes(broken + b"\n")
    (tmp_path / "aside").replace(path)
    answer = server.post("/recommend", json={"histories": [HISTORY]})
    assert answer.status_code == 503
    assert "is damaged" in json.loads(answer.text)["errors"][0]["message"]
    assert server.post("/recommend", json={"histories": [HISTORY]}).status_code == 503, "asked once more"
    assert server.post("/items", json=new(42)).status_code == 422
    assert path.read_bytes() == broken + b"\n"
