"""Texts prepared elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.teacher.jsonl.config import JsonlTeacherConfig
from lasar_plugins.teacher.jsonl.teacher import JsonlTeacher

REQUESTS = [ReasoningRequest("ann", 3, ()), ReasoningRequest("bob", 2, ()), ReasoningRequest("ann", 2, ())]


def write(path: Path, **options) -> list[tuple[int, str | None]]:
    config = JsonlTeacherConfig(use="jsonl", path=path, **options)
    return list(JsonlTeacher(config, Env()).write(REQUESTS))


@pytest.fixture
def file(tmp_path: Path):
    def build(*rows) -> Path:
        path = tmp_path / "texts.jsonl"
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
        return path

    return build


def row(user: object, end: object, text: object) -> dict[str, object]:
    return {"user": user, "end": end, "text": text}


def test_texts_are_found_by_user_and_place(file) -> None:
    path = file(
        row("ann", 2, "Two.\nRecommendation: <a_1>"), row("eve", 9, "Nine."), "", row("ann", 3, "Three.")
    )
    assert write(path) == [(0, "Three."), (1, None), (2, "Two.")]
    assert write(path, recommendation="keep")[2] == (2, "Two.\nRecommendation: <a_1>")


def test_a_text_may_be_null_and_counts_as_given(file) -> None:
    path = file(row("ann", 2, None), row("ann", 3, "Three."), row("bob", 2, "Bob."))
    assert write(path, missing="error") == [(0, "Three."), (1, "Bob."), (2, None)]


def test_the_target_goes_where_the_teacher_saw_it(file) -> None:
    text = "Step 1: Likes oils. So they buy Rose Toner."
    path = file(row("ann", 2, text))
    asked = [ReasoningRequest("ann", 2, (), ReasoningItem("Rose Toner"))]
    for saw, kept in ((True, "Step 1: Likes oils."), (False, text)):
        teacher = JsonlTeacher(JsonlTeacherConfig(use="jsonl", path=path, saw_target=saw), Env())
        assert teacher.wants_target == saw
        assert list(teacher.write(asked)) == [(0, kept)]


def test_half_a_surrogate_pair_becomes_a_question_mark(file) -> None:
    path = file('{"user": "ann", "end": 2, "text": "Soap \\ud83d here \\ud83d\\ude00."}')
    assert write(path)[2] == (2, "Soap ? here 😀.")


def test_how_many_were_found_is_reported(file) -> None:
    heard: list[dict[str, float]] = []
    config = JsonlTeacherConfig(use="jsonl", path=file(row("bob", 2, "Bob.")))
    list(JsonlTeacher(config, Env(report=heard.append)).write(REQUESTS))
    assert heard == [{"done": 3.0, "total": 3.0, "found": 1.0}]


@pytest.mark.parametrize(
    ("second", "place", "expected"),
    [
        ("{", 2, "is not JSON"),
        ("[1]", 2, "expected an object with user, end, text, got list"),
        ({"user": "ann", "end": 2}, 2, "lacks 'text'; it has 'user', 'end'"),
        (row("ann", 2, "x") | {"txt": 1}, 2, "unknown key 'txt'; did you mean 'text'?"),
        (row(7, 2, "x"), 2, "'user' must be a text, the raw id (got 7)"),
        (row("ann", "2", "x"), 2, "'end' must be an integer of at least 1 (got '2')"),
        (row("ann", True, "x"), 2, "'end' must be an integer"),
        (row("ann", 0, "x"), 2, "'end' must be an integer of at least 1 (got 0)"),
        (row("ann", 2, 5), 2, "'text' must be a text or null (got 5)"),
        (row("ann", 3, "x"), 2, "user 'ann', end 3 stands on line 1 already"),
    ],
)
def test_mistakes_name_file_and_line(file, second: object, place: int, expected: str) -> None:
    path = file(row("ann", 3, "Three."), second)
    with pytest.raises(UserError) as caught:
        write(path)
    (line,) = caught.value.lines
    assert line.startswith(f"{path}:{place}: ")
    assert expected in line


def test_a_file_that_has_none_of_the_texts(file) -> None:
    """The anchors stage judges that: it may ask for what is left of a longer list."""
    assert write(file(row("0", 3, "x"))) == [(0, None), (1, None), (2, None)]


def test_missing_texts_are_a_mistake_where_they_must_not_be(file) -> None:
    with pytest.raises(UserError, match="lacks the texts of 2 of 3 histories, such as user 'bob', end 2"):
        write(file(row("ann", 3, "x")), missing="error")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        write(tmp_path / "none.jsonl")
