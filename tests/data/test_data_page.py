"""The page on data sources: its examples are valid, its tables name every option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lasar_kit.spec import ComponentConfig
from lasar_plugins.dataset.amazon_reviews.config import AmazonReviewsConfig
from lasar_plugins.dataset.csv.config import CsvConfig
from lasar_plugins.dataset.demo.config import DemoConfig
from lasar_plugins.dataset.lcrec.config import LcRecConfig
from lasar_plugins.dataset.recbole.config import RecBoleConfig

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
CONFIGS: dict[str, type[ComponentConfig]] = {
    "demo": DemoConfig,
    "lcrec": LcRecConfig,
    "amazon_reviews": AmazonReviewsConfig,
    "recbole": RecBoleConfig,
    "csv": CsvConfig,
}


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_example_is_valid(name: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", section(name), re.DOTALL)
    options = yaml.safe_load(example)["dataset"]
    assert options["use"] == name
    assert CONFIGS[name].model_validate(options).use == name


@pytest.mark.parametrize("name", CONFIGS)
def test_every_option_is_described(name: str) -> None:
    options = set(CONFIGS[name].model_fields) - {"use"}
    text = section(name) + (section("recbole") if name == "csv" else "")
    assert {option for option in options if f"`{option}`" not in text} == set()
    for field in CONFIGS[name].model_fields.values():
        assert field.description
