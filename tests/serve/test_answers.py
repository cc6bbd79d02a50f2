"""What is answered: lists under constraints, at depths, with thoughts; alike alone and among others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from lasar_kit.core.allowed import Allowed
from lasar_kit.errors import UserError
from lasar_kit.serve.engine import Asked
from lasar_kit.serve.http import service as service_module
from lasar_kit.serve.http.bodies import RecommendBody
from lasar_kit.serve.http.service import Service
from lasar_kit.serve.recommend import LoadedRun

Serve = Callable[..., TestClient]
EVERY = [f"i{n}" for n in range(30)]


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/recommend", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def ids(lists: dict[str, Any]) -> list[list[str]]:
    return [[one["item"] for one in found["items"]] for found in lists["lists"]]


@pytest.mark.parametrize("exclude", [False, True])
def test_lists_are_those_of_the_run(
    model: LoadedRun, served: Serve, histories: list[list[str]], exclude: bool
) -> None:
    found = ask(served(), histories=histories, k=5, exclude_history=exclude)
    for told, expected in zip(found["lists"], model.rank(histories, 5, exclude), strict=True):
        assert [one["item"] for one in told["items"]] == [one.item for one in expected]
        assert [one["title"] for one in told["items"]] == [one.title for one in expected]
        assert [one["score"] for one in told["items"]] == pytest.approx([one.score for one in expected])
        assert told["unknown"] == []
        assert "thoughts" not in told
    assert len({told["depth"] for told in found["lists"]}) > 1


CONDITIONS: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
    ({"brand": {"is": ["acme", "CRANE"]}}, lambda n: n % 3 != 1),
    ({"categories": {"has": ["soap"]}}, lambda n: n < 10),
    ({"price": {"min": 5, "max": 8.5}}, lambda n: n in (5, 6, 8)),
    ({"price": {"min": 20}, "brand": {"is": ["Bolt"]}}, lambda n: n >= 20 and n % 3 == 1),
    ({"title": {"has": ["thing 2"]}}, lambda n: n == 2 or 20 <= n < 30),
    ({"brand": {"has": []}}, lambda n: False),
    ({}, lambda n: True),
]


@settings(max_examples=30)
@given(
    allow=st.none() | st.lists(st.sampled_from(EVERY), max_size=12),
    deny=st.lists(st.sampled_from(EVERY), max_size=20),
    condition=st.sampled_from(CONDITIONS),
    exclude=st.booleans(),
    k=st.integers(1, 30),
    shared_from=st.sampled_from([0, 1000]),
)
def test_lists_are_the_ranking_of_what_is_allowed(
    model: LoadedRun,
    allow: list[str] | None,
    deny: list[str],
    condition: Any,
    exclude: bool,
    k: int,
    shared_from: int,
) -> None:
    """A search as wide as the catalogue ranks it all; what is not allowed is struck out by hand."""
    filters, holds = condition
    history = ["i3", "i4", "i3"]
    (whole,) = model.rank([history], 30)
    barred = {*deny, *(history if exclude else [])}
    left = [one for one in whole if (allow is None or one.item in allow) and one.item not in barred]
    expected = [one for one in left if holds(int(one.item[1:]))]
    body = RecommendBody.model_validate(
        {"histories": [history], "k": k, "allow": allow, "deny": deny, "filter": filters}
        | {"exclude_history": exclude}
    )
    service = Service(model, "shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lasar_kit.serve.http.service.SHARED_FROM", shared_from)
        asked, *_ = service.asked(body)
    (answer,) = service.answer([asked[0]])
    found = service.told(answer, [], False).items
    assert len(found) == min(k, len(expected))
    if k >= 10:  # a narrower beam may miss what a wide one finds
        wide = service.answer([Asked(asked[0].history, k, 30, asked[0].limit)])[0]
        assert [one.item for one in service.told(wide, [], False).items] == [one.item for one in expected][:k]
    scores = {one.item: one.score for one in expected}
    assert [one.score for one in found] == pytest.approx([scores[one.item] for one in found], abs=1e-4)


def test_a_depth_may_be_forced_and_thoughts_tell_what_each_would_give(
    served: Serve, histories: list[list[str]]
) -> None:
    client = served()
    at = {depth: ask(client, histories=histories, k=5, depth=depth)["lists"] for depth in range(5)}
    told = ask(client, histories=histories, k=7, thoughts=True, exclude_history=False)["lists"]
    for user, one in enumerate(told):
        assert at[3][user]["depth"] == 3
        assert len(one["thoughts"]) == one["depth"] + 1
        for depth, thought in enumerate(one["thoughts"]):
            expected = at[depth][user]["items"]
            assert [found["item"] for found in thought] == [found["item"] for found in expected]
            scores = [found["score"] for found in expected]
            assert [found["score"] for found in thought] == pytest.approx(scores, abs=1e-4)
        assert [found["item"] for found in one["items"]][:5] == [
            found["item"] for found in one["thoughts"][-1]
        ]
    assert at[0] != at[4]


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"histories": "i3"}, "histories: expected a list of lists of ids, got 'i3'"),
        ({"histories": [["i3"], "i4"]}, "histories[1]: expected a list of ids, got 'i4'"),
        ({"histories": [3]}, "histories[0]: expected a list of ids, got 3"),
        ({"histories": [[3]]}, "no item 3 in this run; ids are texts, such as 'i0'"),
        ({"k": 0}, "k: expected a whole number, 1 or more, got 0"),
        ({"k": -1}, "k: expected a whole number, 1 or more, got -1"),
        ({"k": 2.0}, "k: expected a whole number, 1 or more, got 2.0"),
        ({"users": ["a", "b"]}, "users: 2 of them for 1 histories"),
    ],
)
def test_a_program_that_asks_in_another_form_is_told(
    model: LoadedRun, asked: dict[str, Any], line: str
) -> None:
    """A text is a list of letters to Python: as a history it had a list, where letters are ids too."""
    with pytest.raises(UserError) as caught:
        model.rank(**{"histories": [["i3"]], "k": 2, **asked})
    assert caught.value.lines == (line,)


def test_an_answer_is_the_same_whoever_else_asks(model: LoadedRun, histories: list[list[str]]) -> None:
    """Seven histories of other lengths, depths and limits, in one batch and each alone."""
    service = Service(model, "shop")
    bodies = [
        {"exclude_history": True},
        {"allow": EVERY[:12]},
        {"filter": {"brand": {"is": ["Bolt"]}}},
        {"depth": 4},
        {"depth": 0, "deny": EVERY[20:]},
        {},
        {"k": 3},
    ]
    asked = []
    for history, body in zip(histories, bodies, strict=True):
        asked += service.asked(RecommendBody.model_validate({"histories": [history], **body}))[0]
    together = service.answer(asked)
    for one, among in zip(asked, together, strict=True):
        (alone,) = service.answer([one])
        assert among.best.items.tolist() == alone.best.items.tolist()
        assert among.best.scores == pytest.approx(alone.best.scores, abs=1e-4)
        assert among.depth == alone.depth


def test_requests_of_one_filter_share_its_set(model: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed once, whoever asks; in a batch it is there once for all of its rows."""
    monkeypatch.setattr("lasar_kit.serve.http.service.SHARED_FROM", 0)
    found, calls = service_module.matching, list[int]()
    monkeypatch.setattr(service_module, "matching", lambda *given: calls.append(1) or found(*given))
    service = Service(model, "shop")
    body = {"histories": [["i1"], ["i2"]], "filter": {"brand": {"is": ["Bolt"]}}, "exclude_history": True}
    asked = [one for _ in range(3) for one in service.asked(RecommendBody.model_validate(body))[0]]
    assert len(calls) == 1
    assert len({id(one.limit.among) for one in asked}) == 1
    (shared,) = Allowed.of([one.limit for one in asked]).shared
    assert shared.items.tolist() == list(range(1, 30, 3))
    assert [one.limit.items.tolist() for one in asked[:2]] == [[1], []]


def test_an_unknown_id_is_named_or_skipped(served: Serve) -> None:
    client = served()
    body = {"histories": [["i1", "none"], ["i2"]], "allow": ["i5", "gone"], "k": 3}
    refused = client.post("/recommend", json=body)
    assert refused.status_code == 422
    assert refused.json() == {
        "errors": [
            {"field": "histories[0][1]", "message": "no item 'none' in this run"},
            {"field": "allow[1]", "message": "no item 'gone' in this run"},
        ]
    }
    found = ask(client, **body, unknown="skip")
    assert [one["unknown"] for one in found["lists"]] == [["none"], []]
    assert found["unknown"] == ["gone"]
    assert ids(found) == [["i5"], ["i5"]]
    alone = ask(client, histories=[["i1"], ["i2"]], allow=["i5"], k=3)
    assert ids(alone) == ids(found)
