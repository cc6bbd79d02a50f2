"""Thoughts about some users on the page of a run: those of `explain`, and what a model wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.report.html.material import Material
from lasar_kit.report.html.sections import _thoughts
from lasar_kit.serve.explain import Explained, explained

pytest.importorskip("matplotlib", reason="figures need matplotlib (lasar-kit[figures])")


def answered(run: Path) -> list[dict[str, Any]]:
    text = (run / "stages" / "evaluate" / "predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_they_are_those_of_explain_about_the_users_own_histories(shop: Path) -> None:
    """Of three users, evenly chosen: the depth and the best item of the evaluation."""
    asked: list[list[str]] = []
    told: list[Explained] = []

    def explain(run: Path, histories: Sequence[list[str]]) -> Sequence[Explained]:
        asked.extend(histories)
        told.extend(explained(run, histories, Catalogue.discover()))
        return told

    (section,) = _thoughts(Material.read(shop), explain, 3)
    held = answered(shop)
    users = [held[place] for place in (0, (len(held) - 1) // 2, len(held) - 1)]
    for line, history, one, grid in zip(users, asked, told, section.grids, strict=True):
        assert one.depth == line["depth"]
        assert one.stops[line["depth"]].items[0].item == line["items"][0]
        times = f"{one.depth} time{'s' * (one.depth != 1)}"
        assert grid.title == f"User {line['user']}: thinks {times}, for item {line['target']}"
        assert grid.notes[1].endswith(", ".join(history[-2:]))
        assert len(grid.rows) == len(one.stops) == one.depth + 1
        for row, stop in zip(grid.rows, one.stops, strict=True):
            assert row.cells[1] == stop.change
            assert str(row.cells[3]).startswith(stop.items[0].item)
            assert (row.cells[4] is None) == (not stop.nearest), "the nearest segment, of a thought"


def test_what_a_model_wrote_is_shown_and_one_that_cannot_be_read_is_told_of(
    shop: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(shop, run)
    file = run / "stages" / "evaluate" / "predictions.jsonl"
    held = answered(run)
    file.write_text("".join(json.dumps({**line, "written": "likes soap"}) + "\n" for line in held))

    def explain(run: Path, histories: Sequence[list[str]]) -> Sequence[Explained]:
        raise UserError("no model here")

    (section,) = _thoughts(Material.read(run), explain, 1)
    assert section.text == ("Thoughts cannot be read: no model here",)
    first = held[0]
    assert [row.cells for row in section.grids[0].rows] == [
        (first["user"], first["target"], first["rank"], "likes soap")
    ]
    assert list(_thoughts(Material.read(shop), None, 3)) == [], "nothing is read unless it is asked for"
    assert list(_thoughts(Material.read(run), explain, 0)) == []
