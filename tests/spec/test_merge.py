"""Merge patches, against RFC 7396 written down anew, and what components add to it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.spec.merge import merge
from lasar_kit.spec.yaml_source import Node, Place, dump, parse

KEYS = st.sampled_from(["a", "b", "c", "d", "use"])
TABLES = st.recursive(
    st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(KEYS.filter(lambda key: key != "use"), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict))
USING = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.fixed_dictionaries(
        {}, optional={"use": st.sampled_from(["x", "y"]), "a": inner, "b": inner}
    ),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict))


def node(value: Any, source: str = "base") -> Node:
    found = parse(dump(value), Place(source, Path(), 1), [])
    assert found is not None
    return found


def merged(base: Any, patch: Any) -> Any:
    return merge(node(base), node(patch, "patch")).plain()


def rfc_7396(target: Any, patch: Any) -> Any:
    """The pseudocode of the RFC's section 2."""
    if not isinstance(patch, dict):
        return patch
    target = copy.deepcopy(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = rfc_7396(target.get(name), value)
    return target


def with_components(target: Any, patch: Any) -> Any:
    """The same, the two rules on components applied beforehand."""
    if isinstance(patch, str) and isinstance(target, dict) and "use" in target:
        patch = {"use": patch}
    if isinstance(patch, dict) and isinstance(target, str):
        target = {"use": target}
    if not isinstance(patch, dict):
        return patch
    both = isinstance(target, dict) and target.get("use") and patch.get("use")
    if not isinstance(target, dict) or (both and target["use"] != patch["use"]):
        return rfc_7396(None, patch)
    kept = {name: value for name, value in target.items() if name not in patch}
    changed = {
        name: with_components(target[name], value) if name in target else rfc_7396(None, value)
        for name, value in patch.items()
        if value is not None
    }
    return kept | changed


@given(TABLES, TABLES)
def test_without_components_it_is_a_json_merge_patch(base: Any, patch: Any) -> None:
    assert merged(base, patch) == rfc_7396(base, patch)


@given(USING, USING)
def test_with_components(base: Any, patch: Any) -> None:
    assert merged(base, patch) == with_components(base, patch)


@given(TABLES)
def test_an_empty_patch_changes_nothing(base: Any) -> None:
    assert merged(base, {}) == base


@given(TABLES, TABLES)
def test_patching_twice_is_patching_once(base: Any, patch: Any) -> None:
    once = merged(base, patch)
    assert merged(once, patch) == once


@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        ({"q": {"use": "x", "a": 1}}, {"q": {"use": "y", "b": 2}}, {"q": {"use": "y", "b": 2}}),
        ({"q": {"use": "x", "a": 1}}, {"q": {"use": "x", "b": 2}}, {"q": {"use": "x", "a": 1, "b": 2}}),
        ({"q": {"use": "x", "a": 1}}, {"q": {"b": 2}}, {"q": {"use": "x", "a": 1, "b": 2}}),
        ({"q": {"use": "x", "a": 1}}, {"q": {"a": None}}, {"q": {"use": "x"}}),
        ({"q": {"use": "x", "a": 1}}, {"q": "y"}, {"q": {"use": "y"}}),
        ({"q": {"use": "x", "a": 1}}, {"q": "x"}, {"q": {"use": "x", "a": 1}}),
        ({"q": "x"}, {"q": {"a": 1}}, {"q": {"use": "x", "a": 1}}),
        ({"q": "x"}, {"q": {"use": "y", "a": None}}, {"q": {"use": "y"}}),
        ({"q": "x"}, {"q": "y"}, {"q": "y"}),
        ({"q": [1, 2]}, {"q": [3]}, {"q": [3]}),
    ],
)
def test_components(base: Any, patch: Any, result: Any) -> None:
    assert merged(base, patch) == result


@pytest.mark.parametrize(
    ("base", "patch", "order"),
    [
        ("tokenize ground evaluate", "reason evaluate", "tokenize ground reason evaluate"),
        ("tokenize ground evaluate", "x y evaluate", "tokenize ground x y evaluate"),
        ("tokenize ground evaluate", "ground x", "tokenize ground evaluate x"),
        ("tokenize ground evaluate", "x tokenize y ground", "x tokenize y ground evaluate"),
        ("tokenize ground evaluate", "x", "tokenize ground evaluate x"),
        ("tokenize ground", "ground x tokenize", "x tokenize ground"),
    ],
)
def test_a_new_key_goes_before_the_next_known_one(base: str, patch: str, order: str) -> None:
    tables = [dict.fromkeys(keys.split(), 1) for keys in (base, patch)]
    assert list(merged(*tables)) == order.split()


def test_a_new_key_finds_its_place_by_a_key_that_it_deletes() -> None:
    assert list(merged({"a": 1, "b": 1, "c": 1}, {"x": 1, "b": None})) == ["a", "x", "c"]


def test_every_value_keeps_its_place() -> None:
    base = node({"a": {"b": 1, "c": 2}, "d": 3})
    found = merge(base, node({"a": {"c": 5}, "e": 6}, "patch"))
    assert isinstance(found.value, dict)
    inner = found.value["a"].value
    assert isinstance(inner, dict)
    places = [str(part.place) for part in (inner["b"], inner["c"], found.value["d"], found.value["e"])]
    assert places == ["base:2", "patch:2", "base:4", "patch:3"]
