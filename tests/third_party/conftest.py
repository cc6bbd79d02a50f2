"""The distributions of this folder, installed from their wheels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fresh import Fresh, wheel

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """An environment with the sound distribution and the broken one."""
    folder = tmp_path_factory.mktemp("third_party")
    fresh = Fresh(folder / "venv")
    fresh.install(*(wheel(HERE / name, folder / "wheels") for name in ("sound", "broken")))
    return fresh
