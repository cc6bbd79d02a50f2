"""The shop's projects and the teacher who has read the leaflet, against the leaflet as sequences tell it."""

from __future__ import annotations

from functools import cache

import pytest

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.reasoning.from_dataset import requests_of
from lasar_kit.core.values import Env
from lasar_plugins.dataset.demo.config import DemoConfig, DemoTeacherConfig
from lasar_plugins.dataset.demo.source import DemoSource
from lasar_plugins.dataset.demo.teacher import DemoTeacher

KINDS, ADD_ONS = 48, 2

Project = tuple[tuple[str, ...], int, int]
"""Kinds of the add-ons as they were bought, the product, and the product that they lead to."""


@cache
def load(projects: float = 1.0, items: int = 500, users: int = 600) -> Dataset:
    config = DemoConfig(users=users, items=items, projects=projects)
    return DemoSource(config, Env()).load()


def projects_of(data: Dataset, user: int) -> list[Project]:
    """One customer's projects, read off the item table."""
    categories = data.items["categories"].to_list()
    found: list[Project] = []
    row = data.sequences[user].tolist()
    while row:
        kinds: list[str] = []
        while categories[row[0]].startswith("Add-ons, "):
            kinds.append(categories[row.pop(0)])
        found.append((tuple(kinds), row.pop(0), row.pop(0)))
    return found


def single_steps(data: Dataset) -> dict[tuple[str, int], int]:
    """Where one add-on leads from a product, by the projects of one add-on."""
    steps: dict[tuple[str, int], int] = {}
    for user in range(len(data.users)):
        for kinds, product, end in projects_of(data, user):
            if len(kinds) == 1:
                assert steps.setdefault((kinds[0], product), end) == end
    return steps


def test_every_project_leads_where_its_add_ons_lead_one_by_one_the_latest_first() -> None:
    data = load()
    steps = single_steps(data)
    lengths = set()
    compared = 0
    for user in range(len(data.users)):
        for kinds, product, end in projects_of(data, user):
            lengths.add(len(kinds))
            for kind in reversed(kinds):
                product = steps.get((kind, product), -1)
            compared += product >= 0
            # A step that never stands alone, such as one back to its own product, is not to be known.
            assert product in (end, -1)
    assert lengths == {1, 2, 3, 4}
    assert compared > 1500
    # An add-on leads to another product from each, within the department.
    assert len(steps) > 0.9 * KINDS * ADD_ONS
    for kind in {kind for kind, _ in steps}:
        ends = [end for (one, _), end in steps.items() if one == kind]
        assert len(set(ends)) == len(ends)
    departments = [text.split(", ")[0] for text in data.items["categories"]]
    assert all(departments[product] == departments[end] for (_, product), end in steps.items())


def test_the_order_of_add_ons_decides() -> None:
    """Two different add-ons seldom lead to the same product in both orders."""
    data = load()
    steps = single_steps(data)
    first, second = sorted({kind for kind, _ in steps})
    products = {product for _, product in steps}
    both = [
        (
            steps.get((second, steps.get((first, one), -1)), -1),
            steps.get((first, steps.get((second, one), -1)), -2),
        )
        for one in products
    ]
    known = [(a, b) for a, b in both if a >= 0 and b >= 0]
    assert len(known) > 30
    assert sum(a == b for a, b in known) < len(known) / 3


def test_validation_and_test_ask_for_what_the_last_two_projects_lead_to_and_nobody_has_it() -> None:
    data = load()
    assert data.cuts is not None
    for user in range(len(data.users)):
        row = data.sequences[user].tolist()
        ends, place = [], 0
        for kinds, _, _ in projects_of(data, user):
            place += len(kinds) + 2
            ends.append(place - 1)
        assert data.cuts[user].tolist() == ends[-2:]
        assert all(row[end] not in row[:end] for end in ends)
        assert len(data.train[user]) == ends[-2]


def test_other_customers_and_the_shop_are_as_without_projects() -> None:
    """But for the add-ons, the last items of the table."""
    some, none = load(projects=0.5), load(projects=0.0, items=492)
    assert none.cuts is None
    assert some.items[:492].equals(none.items)
    assert all(text.startswith("Add-ons, ") for text in some.items["categories"][492:])
    same = [some.sequences[user].tolist() == none.sequences[user].tolist() for user in range(600)]
    assert 0.4 < sum(same) / 600 < 0.6
    assert some.cuts is not None
    for user in (user for user in range(600) if same[user]):
        length = len(some.sequences[user])
        assert some.cuts[user].tolist() == [length - 2, length - 1]


def test_the_teacher_names_the_kind_at_each_step_from_the_history_alone() -> None:
    data = load(projects=0.5)
    assert data.cuts is not None
    teacher = DemoTeacher(DemoTeacherConfig(use="demo"), Env())
    assert not teacher.wants_target
    places = [(user, 0, int(data.cuts[user][1])) for user in range(len(data.users))]
    requests = requests_of(data, places)
    texts = [text for _, text in teacher.write(requests)]
    categories = data.items["categories"].to_list()
    written = 0
    for (user, _, end), text in zip(places, texts, strict=True):
        row = data.sequences[user].tolist()
        if not categories[row[end - 2]].startswith("Add-ons"):
            assert text is None
            continue
        assert text is not None
        kinds, _, target = projects_of(data, user)[-1]
        lines = text.split("\n")
        assert [line.split(": ")[0] for line in lines] == [f"Step {n + 1}" for n in range(len(kinds))]
        assert lines[-1] == f"Step {len(kinds)}: {categories[target]}"
        assert data.items["title"][target] not in text
        written += 1
    assert written > 250


def test_the_teacher_says_nothing_of_add_ons_without_a_product_or_of_books() -> None:
    data = load()
    teacher = DemoTeacher(DemoTeacherConfig(use="demo"), Env())
    categories = data.items["categories"].to_list()
    end = next(n for n in range(3, 20) if categories[data.sequences[0][n - 1]].startswith("Add-ons"))
    [(_, text)] = teacher.write(requests_of(data, [(0, 0, end)]))
    assert text is None


def test_a_shop_too_small_for_add_ons_is_refused_and_the_smallest_has_all_that_projects_need() -> None:
    with pytest.raises(ValueError, match="a shop with projects has at least 68 items, items is 67"):
        DemoConfig(items=67, projects=0.5)
    assert DemoConfig(items=67).items == 67
    assert min(load(items=68).sequences.items) >= 0
