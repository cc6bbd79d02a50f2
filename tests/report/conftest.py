"""A small run of all of LASAR, evaluated before RL and after, finished once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
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
    folder = tmp_path_factory.mktemp("report")
    (folder / "spec.yaml").write_text(SPEC)
    catalogue, output = Catalogue.discover(), folder / "shop"
    runner.run_spec(load_spec(folder / "spec.yaml", (), catalogue), catalogue, output, True)
    return output


@pytest.fixture(scope="session")
def page_file(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of that run."""
    pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")
    from lasar_kit.report.html import write_page

    file = tmp_path_factory.mktemp("page") / "out.html"
    write_page([shop], file)
    return file
