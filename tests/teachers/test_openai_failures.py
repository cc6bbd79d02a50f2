"""The chat-endpoint teacher where requests fail: what is tried again, when, and what ends the run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lasar_kit.errors import UserError
from lasar_plugins.teacher.openai.cache import Answer, AnswerCache
from lasar_plugins.teacher.openai.client import ChatClient, Failed
from lasar_plugins.teacher.openai.http import retry_after
from tests.teachers.endpoint import CUT_SHORT, HANG_UP, STALL, Endpoint, completion, requests


def test_passing_failures_are_tried_again(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [
        (500, "oops", {}),
        (503, {"error": {"message": "busy"}}, {}),
        (HANG_UP, "", {}),
        (200, "no json", {}),
        (200, {"choices": []}, {}),
        (CUT_SHORT, completion("half"), {}),
    ]
    asking = teacher(retries=6, backoff=2.0, max_wait=20.0)
    assert list(asking.write(requests("soap"))) == [(0, "Step 1: Likes soap.")]
    assert len(endpoint.asked) == 7
    assert len(asking.slept) == 6
    for delay, longest in zip(asking.slept, (2, 4, 8, 16, 20, 20), strict=True):
        assert longest / 2 <= delay <= longest
    assert (
        len({delay / longest for delay, longest in zip(asking.slept, (2, 4, 8, 16, 20, 20), strict=True)})
        == 6
    )
    assert asking.heard[-1]["retries"] == 6


def test_waits_repeat_by_seed_and_differ_between_questions(
    endpoint: Endpoint, teacher, tmp_path: Path
) -> None:
    def slept(title: str, run: int) -> list[float]:
        endpoint.plan = [(500, "", {})] * 2
        asking = teacher(cache=tmp_path / str(run))
        list(asking.write(requests(title)))
        return asking.slept

    assert slept("a", 1) == slept("a", 2)
    assert slept("a", 3) != slept("b", 4)


def test_a_rate_limit_is_waited_out(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [(429, {"error": {"message": "slow down"}}, {"Retry-After": "33"})]
    asking = teacher()
    assert list(asking.write(requests("soap"))) == [(0, "Step 1: Likes soap.")]
    assert asking.slept == [33.0]


def test_a_wait_too_long_ends_the_run(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [(429, {"error": {"message": "quota"}}, {"Retry-After": "86400"})]
    asking = teacher()
    with pytest.raises(UserError, match=r"429: quota; it asks to wait 86400 s, more than max_wait \(120 s\)"):
        list(asking.write(requests("soap")))
    assert asking.slept == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0), ("0.5", 0.5),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0), ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        (None, 0.0), ("soon", 0.0), ("-3", 0.0), ("nan", 0.0), ("inf", 0.0),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float) -> None:
    assert retry_after(value, now=40.0) == seconds


def test_a_stalling_endpoint_is_given_up(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [(STALL, "", {})]
    asking = teacher(timeout=1.5)  # in which the endpoint answers on a machine that is busy, too
    assert list(asking.write(requests("soap"))) == [(0, "Step 1: Likes soap.")]
    assert len(asking.slept) == 1
    assert not endpoint.outlasted


def test_one_refused_question_does_not_stop_the_others(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [(400, {"error": {"message": "content policy"}}, {})]
    asking = teacher()
    assert list(asking.write(requests("a", "b"))) == [(0, None), (1, "Step 1: Likes b.")]
    assert asking.slept == []
    last = asking.heard[-1]
    assert (last["failed"], last["refused"], last["done"]) == (0.0, 1.0, 2.0)
    assert list(teacher().write(requests("a"))) == [(0, "Step 1: Likes a.")]


def test_too_many_failures_in_a_row_end_the_run(endpoint: Endpoint, teacher) -> None:
    bad = (400, {"error": "unknown parameter"}, {})
    endpoint.plan = [bad, bad, (200, completion("fine"), {}), bad, bad, bad]
    asking = teacher(max_failures=3)
    with pytest.raises(
        UserError, match="3 requests in a row failed, the last with status 400: unknown parameter"
    ):
        list(asking.write(requests(*"abcdefgh")))
    assert len(endpoint.asked) == 6


def test_all_of_few_failing_is_a_failure(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [(500, "down", {})] * 4
    with pytest.raises(
        UserError, match="2 requests in a row failed, the last with status 500: down, tried 2 times"
    ):
        list(teacher(retries=1).write(requests("a", "b")))


def test_what_failed_ends_the_run_and_is_asked_again(endpoint: Endpoint, teacher) -> None:
    busy = (503, {"error": {"message": "busy"}}, {})
    endpoint.plan = [busy, busy]
    asking = teacher(retries=1)
    with pytest.raises(UserError, match=r"1 of 3 requests failed, the last with status 503: busy, tried 2"):
        list(asking.write(requests("a", "b", "c")))
    endpoint.plan = [busy]
    with pytest.raises(UserError, match=r"run again to ask them, or let 'failed_share' leave them"):
        list(teacher(retries=0).write(requests("a", "b", "c")))
    before = len(endpoint.asked)
    assert sorted(teacher().write(requests("a", "b", "c"))) == [
        (n, f"Step 1: Likes {title}.") for n, title in enumerate("abc")
    ]
    assert len(endpoint.asked) == before + 1


@pytest.mark.parametrize(("share", "passes"), [(0.24, False), (0.25, True), (1.0, True)])
def test_a_share_of_requests_may_fail(endpoint: Endpoint, teacher, share: float, passes: bool) -> None:
    list(teacher().write(requests("a", "b", "c")))
    endpoint.plan = [(500, "down", {})]
    asking = teacher(retries=0, failed_share=share)
    came = []
    try:
        for answer in asking.write(requests("a", "b", "c", "d")):
            came.append(answer)
        ended = False
    except UserError:
        ended = True
    assert ended != passes
    assert (3, None) in came
    assert len(came) == 4
    last = asking.heard[-1]
    assert (last["failed"], last["cached"]) == (1.0, 3.0)


EMPTY = [
    completion(None, finish="length"),
    completion("", finish="length"),
    completion(" \n", finish="length"),
    completion("<think>The next item is", finish="length"),
    completion("<|channel|>analysis<|message|>The next item is", finish="length"),
]


@pytest.mark.parametrize("answer", EMPTY, ids=lambda answer: str(answer["choices"][0]["message"]["content"]))
def test_an_empty_answer_is_told_and_not_kept(
    endpoint: Endpoint, teacher, tmp_path: Path, answer: dict[str, object]
) -> None:
    endpoint.plan = [(200, completion("Likes oil."), {}), (200, answer, {})]
    with pytest.raises(UserError) as caught:
        list(teacher().write(requests("a", "b")))
    (line,) = caught.value.lines
    assert "1 of 2 requests failed, the last with an empty answer (finish: length, 20 tokens)" in line
    assert "raise the token limit in 'parameters', or have the model not think" in line
    assert str(tmp_path / "cache" / "answers.jsonl") in line
    again = teacher()
    assert sorted(again.write(requests("a", "b"))) == [(0, "Likes oil."), (1, "Step 1: Likes b.")]
    assert len(endpoint.asked) == 3
    assert again.heard[-1]["empty"] == 0


def test_an_empty_answer_of_an_older_cache_is_asked_again(
    endpoint: Endpoint, teacher, tmp_path: Path
) -> None:
    asking = teacher()
    key = asking._key(asking._body(requests("a")[0]))
    AnswerCache(tmp_path / "cache").put(key, Answer(None, 100, 600, "length"))
    assert list(asking.write(requests("a"))) == [(0, "Step 1: Likes a.")]
    kept = AnswerCache(tmp_path / "cache").get(key)
    assert kept is not None
    assert kept.text == "Step 1: Likes a.\nRecommendation: <a_1><b_2>"


def test_empty_answers_alone_end_the_run_early_others_do_not(endpoint: Endpoint, teacher) -> None:
    """A model that never comes to an answer costs as much as one that does."""
    nothing = (200, completion(None, finish="length"), {})
    endpoint.plan = [nothing] * 9
    with pytest.raises(UserError, match=r"3 requests in a row failed, the last with an empty answer"):
        list(teacher(max_failures=3, failed_share=1.0).write(requests(*"abcdefgh")))
    assert len(endpoint.asked) == 3
    endpoint.plan = [(200, completion("fine"), {}), *[nothing] * 5]
    asking = teacher(max_failures=3, failed_share=1.0)
    assert [text for _, text in asking.write(requests(*"abcdef"))] == ["fine", *[None] * 5]
    assert (asking.heard[-1]["empty"], asking.heard[-1]["cut_off"]) == (5, 5)


def test_a_withheld_answer_is_a_refusal(endpoint: Endpoint, teacher) -> None:
    refusal = completion(None)
    refusal["choices"][0]["message"]["refusal"] = "I cannot."  # type: ignore[index]
    endpoint.plan = [(200, completion(None, finish="content_filter"), {}), (200, refusal, {})]
    asking = teacher()
    assert list(asking.write(requests("a", "b", "c"))) == [(0, None), (1, None), (2, "Step 1: Likes c.")]
    assert (asking.heard[-1]["refused"], asking.heard[-1]["failed"]) == (2, 0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>captive portal</html>", "<html>captive portal</html>"),
        ({"error": {"message": "No models loaded"}}, "No models loaded"),
        ('data: {"choices": []}\n\ndata: [DONE]', 'data: {"choices": []} data: [DONE]'),
        ({"choices": []}, '{"choices": []}'),
    ],
)
def test_a_strange_answer_is_quoted(endpoint: Endpoint, teacher, body: object, said: str) -> None:
    endpoint.plan = [(200, body, {})]
    with pytest.raises(UserError) as caught:
        list(teacher(retries=0).write(requests("a")))
    assert f"an answer that is no chat completion: {said}, tried 1 times" in str(caught.value)


def test_a_text_in_parts(endpoint: Endpoint, teacher) -> None:
    thoughts = {"type": "thinking", "thinking": [{"type": "text", "text": "secret"}]}
    parts = [thoughts, {"type": "text", "text": "Likes "}, {"type": "text", "text": "oil."}]
    endpoint.plan = [(200, completion(parts), {})]  # type: ignore[arg-type]
    assert list(teacher().write(requests("a"))) == [(0, "Likes oil.")]


def test_no_retry_is_sent_once_the_run_is_over(endpoint: Endpoint, teacher) -> None:
    endpoint.plan = [(500, "down", {})]
    stop = threading.Event()
    client = ChatClient(teacher(retries=3).config, 7, stop, sleep=lambda seconds: stop.set())
    with pytest.raises(Failed, match="stopped"):
        client.ask("name", b'{"messages": []}')
    assert len(endpoint.asked) == 1
