"""The page on teachers: its examples are valid, every option is told; all of it is in the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.interfaces import Segmenter, Teacher
from lasar_kit.core.values import Env
from lasar_plugins.teacher.openai.client import HOPELESS, PASSING

PAGE = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text()
COMPONENTS = [
    *(("teacher", name) for name in ("template", "jsonl", "openai", "hf")),
    *(("segmenter", name) for name in ("embedding", "steps", "sentences")),
]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.discover()


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_the_example_builds(catalogue: Catalogue, kind: str, name: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", section(name), re.DOTALL)
    options = yaml.safe_load(example)[kind]
    options = {"use": options} if isinstance(options, str) else options
    assert options["use"] == name
    config = catalogue.config_class(kind, name).model_validate(options)
    built = catalogue.build(kind, config, Env())
    assert isinstance(built, Teacher if kind == "teacher" else Segmenter)


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_option_is_told_with_its_default(catalogue: Catalogue, kind: str, name: str) -> None:
    text = section(name)
    for option, field in catalogue.config_class(kind, name).model_fields.items():
        assert option == "use" or f"`{option}" in text or f"{option}:" in text
        assert field.description
    rows = re.findall(r"^\| (`.*?`) \| ([^|]*) \|", text, re.MULTILINE)
    for names, defaults in rows:
        options = re.findall(r"`(\w+)`", names)
        values = [value.strip("` ") for value in defaults.split(",")]
        for option, value in zip(options, values * (len(options) // len(values)), strict=True):
            default = catalogue.config_class(kind, name).model_fields[option].default
            if re.fullmatch(r"[\d.]+", value):
                assert float(value) == default


def test_the_statuses_on_the_page_are_those_of_the_code() -> None:
    told = {
        int(status) for status in re.findall(r"\b[45]\d\d\b", section("openai").split("**Failures.**")[1])
    }
    assert PASSING | {401, 405} == told
    assert set(range(401, 406)) <= HOPELESS
    assert not PASSING & HOPELESS


def test_a_component_written_by_a_third_party_needs_no_base_class() -> None:
    class Mute:
        wants_target = False

        def write(self, requests):
            return [(index, None) for index, _ in enumerate(requests)]

    assert isinstance(Mute(), Teacher)
    assert not isinstance(Mute(), Segmenter)
