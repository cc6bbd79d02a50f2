"""One wrong line in an otherwise sound component is caught, by the law that it breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lasar_kit.testing import checks_for
from lasar_kit.testing.contract import Subject
from lasar_kit.testing.runner import run_check
from tests.contracts.attention import WRONG_LAYERS
from tests.contracts.wrong_line import WrongLine
from tests.contracts.wrong_lines import WRONG_LINES


def check_of(kind: str, law: str) -> Any:
    return next(check for check in checks_for(kind) if check.name == law)


@pytest.mark.parametrize("line", [pytest.param(each, id=each.name) for each in WRONG_LINES])
def test_a_wrong_line_is_caught(line: WrongLine, tmp_path: Path) -> None:
    result = run_check(check_of(line.kind, line.law), line.subject(tmp_path))
    assert not result.passed


@pytest.mark.parametrize("layer", WRONG_LAYERS)
def test_a_layer_that_is_wrong_on_long_chains_is_caught(layer: Any) -> None:
    subject = Subject("backbone", layer.__name__, lambda env: layer(None, env))
    assert not run_check(check_of("backbone", "a_chain_of_forty_tokens_is_read"), subject).passed
    for law in ("a_path_is_read_as_if_it_stood_alone", "order_of_tokens_is_felt"):
        assert run_check(check_of("backbone", law), subject).passed


def test_a_wrong_line_in_training_mode_is_told_as_such(tmp_path: Path) -> None:
    (line,) = (line for line in WRONG_LINES if line.name == "batch_mean_in_training")
    result = run_check(check_of(line.kind, line.law), line.subject(tmp_path))
    assert result.example.startswith("in training mode; ")
