"""What is built within a component has its own surroundings."""

from __future__ import annotations

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.environment import GIVEN
from lasar_kit.kinds import KINDS
from lasar_kit.spec.component import KIND_KEY

RUN = ("ranker", "text_encoder")
"""Kinds of which one reads a finished run."""


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"stage"}))
def test_a_component_that_holds_what_reads_a_run_is_given_the_catalogue(kind: str) -> None:
    """As a ranker within an objective or a decoder, a text encoder within another."""
    catalogue = Catalogue.discover()
    schemas = [catalogue.config_class(kind, one.name).model_json_schema() for one in catalogue.entries(kind)]
    holds = any(f"'{KIND_KEY}': '{inner}'" in str(schemas) for inner in RUN)
    assert not holds or "catalogue" in GIVEN[kind]
