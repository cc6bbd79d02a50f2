"""Options of the golden curves."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("golden", "golden curves of training")
    group.addoption("--golden-record", metavar="DIR", help="record every bit there instead of comparing")
    group.addoption("--golden-exact", metavar="DIR", help="compare every bit with what was recorded there")
    group.addoption("--golden-write", action="store_true", help="replace the curves that are kept here")
