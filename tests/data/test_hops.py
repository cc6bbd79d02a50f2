"""The probe's questions and its teacher, against the map followed by brute force."""

from __future__ import annotations

import pytest

from lasar_kit.core.dataset import ITEM_COLUMNS, Dataset
from lasar_kit.core.interfaces import DataSource, Teacher
from lasar_kit.core.reasoning.from_dataset import requests_of
from lasar_kit.core.values import Env
from lasar_kit.data.held_out import HeldOut
from lasar_kit.errors import UserError
from lasar_plugins.dataset.hops.config import HopsConfig, HopsTeacherConfig
from lasar_plugins.dataset.hops.ring import next_nodes
from lasar_plugins.dataset.hops.source import HopsSource
from lasar_plugins.dataset.hops.teacher import HopsTeacher

NODES, HOPS = 30, 5


def load(**options: object) -> Dataset:
    given = {"use": "hops", "nodes": NODES, "hops": HOPS, **options}
    return HopsSource(HopsConfig.model_validate(given), Env()).load()


def read(data: Dataset) -> dict[tuple[int, int], int]:
    """Each question's answer, as the item ids have them."""
    ids = data.items["id"].to_list()
    found = {}
    for user in range(len(data.users)):
        asked, answer = (ids[item].strip("<>").split("><") for item in data.sequences[user].tolist())
        assert answer[1] == "b_0"
        assert data.users[user] == f"{asked[0][2:]}+{asked[1][2:]}"
        found[int(asked[0][2:]), int(asked[1][2:])] = int(answer[0][2:])
    return found


def test_every_answer_is_the_map_followed_from_the_single_hops() -> None:
    """k hops are k single hops, one after the other, and the single hops are one ring over all nodes."""
    data = load()
    assert isinstance(HopsSource(HopsConfig(), Env()), DataSource)
    assert data.items.columns == list(ITEM_COLUMNS)
    assert len(data.items) == NODES * (HOPS + 1)
    answers = read(data)
    assert sorted(answers) == [(s, k) for s in range(NODES) for k in range(1, HOPS + 1)]
    hop = {start: answers[start, 1] for start in range(NODES)}
    for (start, hops), answer in answers.items():
        node = start
        for _ in range(hops):
            node = hop[node]
        assert node == answer
    visited, node = [], 0
    for _ in range(NODES):
        visited.append(node)
        node = hop[node]
    assert node == 0
    assert sorted(visited) == list(range(NODES))


def test_so_many_questions_are_held_out_and_no_training_sequence_holds_one() -> None:
    data = load(held_out=0.4)
    train = {user for user in range(len(data.users)) if len(data.train[user]) == 2}
    validation, test = (HeldOut.of(data, split) for split in ("validation", "test"))
    parts = [train, set(validation.users.tolist()), set(test.users.tolist())]
    assert [len(part) for part in parts] == [90, 30, 30]
    assert set.union(*parts) == set(range(150))
    for held_out in (validation, test):
        for user, history, target in zip(held_out.users, held_out.histories, held_out.target, strict=True):
            assert [*history.tolist(), target] == data.sequences[user].tolist()
            assert len(data.train[user]) < 2
    taken = {data.users[user].split("+")[1] for user in parts[2]}
    assert taken == {str(hops) for hops in range(1, HOPS + 1)}


def test_the_seed_alone_decides() -> None:
    first, again, other = load(), load(), load(seed=1)
    assert read(first) == read(again)
    assert (first.parts == again.parts).all()
    assert read(first) != read(other)
    assert (first.parts != other.parts).any()


def teacher(**options: object) -> HopsTeacher:
    return HopsTeacher(HopsTeacherConfig.model_validate({"use": "hops", "nodes": NODES, **options}), Env())


def test_the_teacher_names_the_nodes_on_the_way_and_as_many_as_hops() -> None:
    data, follows = load(), next_nodes(HopsConfig(nodes=NODES))
    assert isinstance(teacher(), Teacher)
    requests = requests_of(data, [(user, 0, 1) for user in range(len(data.users))])
    texts = dict(teacher().write(requests))
    for user, question in enumerate(data.users):
        node, expected = int(question.split("+")[0]), []
        for _ in range(int(question.split("+")[1])):
            node = follows[node]
            expected.append(f"<a_{node}>")
        assert texts[user].splitlines() == expected


@pytest.mark.parametrize("nodes", [NODES, 10])
def test_the_teacher_refuses_what_is_no_question_about_its_map(nodes: int) -> None:
    data = load()
    place = (0, 1, 2) if nodes == NODES else (len(data.users) - 1, 0, 1)
    data.sequences.items[1] = 0
    long = Dataset(data.users, data.items, data.sequences)
    request = requests_of(long, [place]) if nodes != NODES else [_bare(long)]
    with pytest.raises(UserError, match=f"no question about a map of {nodes} nodes"):
        list(teacher(nodes=nodes).write(request))


def test_a_teacher_of_another_map_is_told_apart() -> None:
    data = load()
    requests = requests_of(data, [(user, 0, 1) for user in range(len(data.users))], with_target=True)
    assert teacher().wants_target
    assert len(list(teacher().write(requests))) == len(requests)
    with pytest.raises(UserError, match=r"but node [0-9]+ in the data set: they need the same seed"):
        list(teacher(seed=1).write(requests))


def _bare(data: Dataset):  # type: ignore[no-untyped-def]
    """A history that is a node."""
    from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest

    return ReasoningRequest("u", 1, (ReasoningItem(title=data.items["title"][0]),))
