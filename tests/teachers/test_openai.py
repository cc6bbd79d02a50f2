"""The chat-endpoint teacher against a server on this machine: what it asks, keeps and tells."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from lasar_kit.errors import UserError
from lasar_plugins.teacher.openai.cache import Answer, AnswerCache
from lasar_plugins.teacher.openai.config import OpenAiTeacherConfig
from tests.teachers.endpoint import KEY, Endpoint, completion, requests


def test_what_is_asked_and_what_comes_back(endpoint: Endpoint, teacher) -> None:
    asking = teacher(parameters={"temperature": 0, "max_tokens": 9})
    assert list(asking.write(requests("soap", "oil"))) == [
        (0, "Step 1: Likes soap."),
        (1, "Step 1: Likes oil."),
    ]
    assert endpoint.paths == ["/v1/chat/completions"] * 2
    body = endpoint.asked[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0, 9)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "1. soap" in body["messages"][1]["content"]
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_the_target_is_never_sent_unless_it_is_to_be_shown(
    endpoint: Endpoint, teacher, tmp_path: Path
) -> None:
    hidden = teacher()
    list(hidden.write(requests("soap")))
    assert not hidden.wants_target
    assert not any(word in json.dumps(endpoint.asked) for word in ("Rose", "Kiehl", "Toners", "77"))
    shown = teacher(show_target=True)
    list(shown.write(requests("soap")))
    assert shown.wants_target
    assert "Rose Toner" in endpoint.asked[1]["messages"][1]["content"]


def test_sentences_that_name_the_shown_target_go(endpoint: Endpoint, teacher) -> None:
    named = completion("Step 1: Likes oils. So they buy Rose Toner.")
    endpoint.plan = [(200, named, {})] * 2
    assert list(teacher(show_target=True).write(requests("a"))) == [(0, "Step 1: Likes oils.")]
    again = list(teacher(show_target=True).write(requests("a")))  # from the cache
    assert again == [(0, "Step 1: Likes oils.")]
    ((_, text),) = teacher().write(requests("b"))
    assert text == "Step 1: Likes oils. So they buy Rose Toner."


def test_a_recommendation_may_be_kept(teacher) -> None:
    ((_, text),) = teacher(recommendation="keep").write(requests("soap"))
    assert text == "Step 1: Likes soap.\nRecommendation: <a_1><b_2>"


def test_an_answer_is_never_asked_for_twice(endpoint: Endpoint, teacher) -> None:
    first = list(teacher().write(requests("soap", "oil", "soap")))
    assert sorted(first) == [
        (0, "Step 1: Likes soap."),
        (1, "Step 1: Likes oil."),
        (2, "Step 1: Likes soap."),
    ]
    assert len(endpoint.asked) == 2
    again = teacher()
    assert sorted(again.write(requests("oil", "soap"))) == [
        (0, "Step 1: Likes oil."),
        (1, "Step 1: Likes soap."),
    ]
    assert len(endpoint.asked) == 2
    assert again.heard[-1]["cached"] == 2
    for options in ({"model": "n"}, {"parameters": {"temperature": 1}}, {"instructions": "Say why."}):
        before = len(endpoint.asked)
        list(teacher(**options).write(requests("soap")))
        assert len(endpoint.asked) == before + 1


def test_a_run_that_is_cut_off_goes_on(endpoint: Endpoint, teacher) -> None:
    writing = teacher().write(requests("a", "b", "c", "d"))
    assert next(writing) == (0, "Step 1: Likes a.")
    writing.close()
    before = len(endpoint.asked)
    assert before <= 2
    assert len(list(teacher().write(requests("a", "b", "c", "d")))) == 4
    assert len(endpoint.asked) == 4


def test_a_torn_line_is_asked_again(endpoint: Endpoint, teacher, tmp_path: Path) -> None:
    list(teacher().write(requests("a", "b")))
    file = tmp_path / "cache" / "answers.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    list(teacher().write(requests("a", "b")))
    assert len(endpoint.asked) == 3
    list(teacher().write(requests("a", "b")))
    assert len(endpoint.asked) == 3
    assert len(file.read_text().splitlines()) == 3


def test_several_requests_are_under_way_at_once(endpoint: Endpoint, teacher) -> None:
    endpoint.gate = threading.Barrier(3)  # opens only when three stand before it
    answers = list(teacher(concurrency=3).write(requests(*"abcdef")))
    assert sorted(answers) == [(n, f"Step 1: Likes {title}.") for n, title in enumerate("abcdef")]
    assert endpoint.most_at_once == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_address_or_key_ends_the_run_at_once(endpoint: Endpoint, teacher, status: int) -> None:
    endpoint.plan = [(status, {"error": {"message": f"Incorrect key {KEY} given"}}, {})]
    with pytest.raises(UserError) as caught:
        list(teacher().write(requests(*"abc")))
    (line,) = caught.value.lines
    assert f"status {status}: Incorrect key *** given" in line
    assert len(endpoint.asked) == 1


def test_no_redirect_takes_the_key_elsewhere(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [(302, "", {"Location": endpoint.url + "/elsewhere"})]
    with pytest.raises(UserError, match="status 302"):
        list(teacher().write(requests("a")))
    assert endpoint.paths == ["/v1/chat/completions"]


def test_an_endpoint_that_is_not_there(teacher) -> None:
    asking = teacher(base_url="http://127.0.0.1:1/v1", retries=2)
    with pytest.raises(UserError, match="1 requests in a row failed, the last with URLError"):
        list(asking.write(requests("a")))
    assert len(asking.slept) == 2


def test_the_key_comes_from_the_environment_alone(endpoint: Endpoint, teacher, monkeypatch) -> None:
    monkeypatch.delenv("TEACHER_KEY")
    with pytest.raises(UserError, match="the environment variable TEACHER_KEY holds no key"):
        list(teacher().write(requests("a")))
    monkeypatch.setenv("TEACHER_KEY", "two\nlines")
    with pytest.raises(UserError) as caught:
        list(teacher().write(requests("a")))
    assert "two" not in str(caught.value)
    assert endpoint.asked == []
    list(teacher(api_key_env=None).write(requests("a")))
    assert "Authorization" not in endpoint.headers[0]
    list(teacher().write(requests("a")))  # all of it cached: no key is needed


def test_the_key_is_written_nowhere(endpoint: Endpoint, teacher, tmp_path: Path, capfd, caplog) -> None:
    endpoint.plan = [(500, KEY, {})]
    asking = teacher()
    list(asking.write(requests("a", "b")))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    shown = "".join(capfd.readouterr()) + caplog.text + repr(vars(asking)) + asking.config.model_dump_json()
    assert KEY not in shown + files[0].read_text() + json.dumps(endpoint.asked)


def test_cost_and_progress_are_told(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [(200, completion("Likes", finish="length"), {}), (200, completion(None), {})]
    asking = teacher(price_input=2.0, price_output=10.0, failed_share=0.5)
    assert [text for _, text in asking.write(requests("a", "b", "c"))] == ["Likes", None, "Step 1: Likes c."]
    assert [numbers["done"] for numbers in asking.heard] == [0, 1, 2, 3]
    # Three answers of 100 and 20 tokens: 300 × 2 / 10⁶ + 60 × 10 / 10⁶.
    last = asking.heard[-1]
    assert last["cost"] == pytest.approx(0.0012)
    assert (last["total"], last["prompt_tokens"], last["answer_tokens"], last["cut_off"]) == (3, 300, 60, 1)
    assert (last["failed"], last["empty"]) == (1, 1)
    again = teacher(price_input=2.0)
    list(again.write(requests("a", "c")))
    assert again.heard == [again.heard[0]]
    assert (again.heard[0]["cost"], again.heard[0]["cached"]) == (0, 2)


def test_the_cache_passes_over_what_is_no_answer(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    cache.put("k", Answer("é\n", 1, 2, "stop"))
    rows = [b"", b"{", b"[]", b'{"key": "x"}', b"\xff\xfe", b'{"key": 5, "text": "", "prompt_tokens": 1}']
    with cache.path.open("ab") as file:
        file.write(b"\n".join(rows))
    again = AnswerCache(tmp_path)
    assert again.get("k") == Answer("é\n", 1, 2, "stop")
    assert again.get("x") is None
    again.put("y", Answer(None))
    assert AnswerCache(tmp_path).get("y") == Answer(None)


def test_a_cache_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="the cache cannot be used"):
        AnswerCache(tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "127.0.0.1:8000/v1"}, "http or https"),
        ({"base_url": "http://"}, "http or https"),
        ({"base_url": "http://[::1/v1"}, "http or https"),
        ({"base_url": f"https://user:{KEY}@host/v1"}, "no user, password or query"),
        ({"base_url": "https://host/v1?key=1"}, "no user, password or query"),
        ({"parameters": {"messages": []}}, "must not hold 'messages'"),
        ({"instructions": " "}, "must not be empty"),
    ],
)
def test_options_that_are_refused(options: dict, message: str) -> None:
    given = {"base_url": "https://host/v1", "model": "m", "cache": "c", **options}
    with pytest.raises(ValidationError, match=message):
        OpenAiTeacherConfig(use="openai", **given)


def test_a_slash_at_the_end_is_no_matter() -> None:
    config = OpenAiTeacherConfig(use="openai", base_url="https://host/v1/", model="m", cache="c")
    assert config.base_url == "https://host/v1"
