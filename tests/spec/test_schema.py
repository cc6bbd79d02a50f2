"""The JSON Schema: valid by its draft, and of one mind with the loader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec
from lasar_kit.spec.schema import DRAFT, json_schema

GOOD: dict[str, Any] = {"stages": {"tokenize": {"use": "tokenize"}}}
STAGE = {"stages": {"a": {"use": "tokenize", "quantizer": {"levels": 2}, "others": ["plain"], "maybe": None}}}


@pytest.fixture
def schema(catalogue: Any) -> dict[str, Any]:
    found, problems = json_schema(catalogue)
    assert problems == []
    return found


@pytest.mark.parametrize(
    ("spec", "good"),
    [
        (GOOD, True),
        (GOOD | {"seed": 3, "name": "x", "prompt": {"use": "minionerec", "rate": 0.5}}, True),
        (GOOD | {"prompt": {"rate": 0.5}, "backbone": "gpt2"}, True),
        (GOOD | {"dataset": {"use": "files", "path": "x"}}, True),
        (STAGE, True),
        ({}, False),
        ({"stages": {}}, False),
        (GOOD | {"sed": 3}, False),
        (GOOD | {"seed": -1}, False),
        (GOOD | {"seed": "1"}, False),
        (GOOD | {"name": "a/b"}, False),
        (GOOD | {"prompt": {"rate": 2}}, False),
        (GOOD | {"prompt": {"use": "minionerec", "rat": 1}}, False),
        (GOOD | {"backbone": "gpt3"}, False),
        (GOOD | {"dataset": {"use": "files"}}, False),
        (GOOD | {"dataset": {"path": "x"}}, False),
        ({"stages": {"a": {"use": "tokenize", "quantizer": {"use": "kmeans", "rate": 1}}}}, False),
        ({"stages": {"a": {"quantizer": "kmeans"}}}, False),
    ],
)
def test_it_agrees_with_the_loader(
    schema: dict[str, Any], catalogue: Any, tmp_path: Path, spec: dict[str, Any], good: bool
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(spec))
    try:
        load_spec(path, (), catalogue)
        loads = True
    except UserError:
        loads = False
    assert jsonschema.Draft202012Validator(schema).is_valid(spec) == good == loads


def test_it_is_valid_by_the_draft_it_names(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == DRAFT == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    assert references(schema)
    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} <= set(schema["$defs"])


def test_descriptions_are_kept(schema: dict[str, Any]) -> None:
    options = schema["$defs"]["quantizer.kmeans"]["properties"]
    assert options["levels"]["description"] == "Levels."
    assert options["use"] == {"const": "kmeans", "description": "The kmeans."}


def test_a_spec_that_extends_may_leave_things_out(schema: dict[str, Any]) -> None:
    valid = jsonschema.Draft202012Validator(schema).is_valid
    assert valid({"extends": "base.yaml", "stages": {"report": {}}, "prompt": None})
    assert not valid({"extends": "base.yaml", "stags": {}})
    assert not valid({"extends": 3})
