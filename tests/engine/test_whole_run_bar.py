"""The bar over a whole run: how far it is, by what its stages take."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from lasar_kit.catalogue import Catalogue
from lasar_kit.process.screen import Screen, Whole
from lasar_kit.run.estimates import Estimate, Estimates
from lasar_kit.spec import load_spec
from tests.small import SHOP


def screen(whole: Whole | None) -> tuple[Screen, StringIO]:
    shown, text = Screen(), StringIO()
    shown.console = Console(
        file=text, force_terminal=True, width=120, color_system=None, legacy_windows=False
    )
    shown.whole = whole
    return shown, text


def test_it_stands_beneath_that_of_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of stages of 10, 30 and 60 s: half of the second is a quarter of all."""
    monkeypatch.setenv("TERM", "xterm")
    whole = Whole("run 2 of 5", [10.0, 30.0, 60.0], stage=1)
    shown, text = screen(whole)
    with shown.progress("ground", 8) as tick:
        tick(4, "loss 1.5")
        assert whole.done(0.5) == 25.0
    last = text.getvalue().split("run 2 of 5")[-1]
    assert "stage 2 of 3" in last
    assert "4/8" in text.getvalue()
    assert "loss 1.5" in text.getvalue()
    line = next(line for line in last.splitlines() if "stage 2 of 3" in line)
    filled = line.count("━") - line.count("╺━")
    assert filled >= 24 // 4 - 1


def test_there_is_none_of_a_single_stage_nor_where_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for whole in (None, Whole("run", [1.0])):
        shown, text = screen(whole)
        with shown.progress("ground", 8) as tick:
            tick(8)
        assert "stage" not in text.getvalue()


def test_a_stage_of_which_nothing_tells_counts_as_the_mean_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spec.yaml").write_text(SHOP)
    loaded = load_spec(tmp_path / "spec.yaml", (), Catalogue.discover())
    told = {"tokenize": 2.0, "ground": 6.0}
    monkeypatch.setattr(
        Estimates,
        "of",
        lambda self, stage, spec: Estimate(told[stage.name], None, tmp_path) if stage.name in told else None,
    )
    stages = [stage for stage in loaded.plan if stage.name in ("tokenize", "ground", "rl")]
    shares = Estimates(tmp_path / "run").shares(stages, loaded.spec)
    assert shares == {"tokenize": 2.0, "ground": 6.0, "rl": 4.0}
    monkeypatch.setattr(Estimates, "of", lambda self, stage, spec: None)
    assert set(Estimates(tmp_path / "run").shares(stages, loaded.spec).values()) == {1.0}
