"""Modules run as commands, from processes of which each loads its libraries itself."""

from __future__ import annotations

import sys
from functools import partial

import pytest

from tests.modules import Start, start


@pytest.fixture(scope="session")
def python() -> Start:
    """Runs a module by its name, in a new interpreter."""
    return partial(start, sys.executable, "-m")
