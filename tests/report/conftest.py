"""A small run of all of LASAR, evaluated before RL and after, finished once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from tests.once import made_once
from tests.small import SHOP

SPEC = f"""{SHOP}name: shop
stages:
  before: {{use: evaluate, label: "<b>$x_y$</b> & [red]", beside: [popularity, random]}}
  rl: {{log_every: 1}}
  evaluate: {{use: evaluate, beside: [popularity, random]}}
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run; not to be changed."""

    def run(folder: Path) -> None:
        (folder / "spec.yaml").write_text(SPEC)
        catalogue = Catalogue.discover()
        spec = load_spec(folder / "spec.yaml", (), catalogue)
        runner.run_spec(spec, catalogue, folder / "shop", True)

    return made_once(tmp_path_factory, "report", run) / "shop"


@pytest.fixture(scope="session")
def page_file(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of that run."""
    pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")
    from lasar_kit.report.html import write_page

    return (
        made_once(tmp_path_factory, "page", lambda folder: write_page([shop], folder / "out.html"))
        / "out.html"
    )
