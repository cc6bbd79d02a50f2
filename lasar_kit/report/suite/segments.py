"""Segments of a teacher's texts, and how complex the prompts are that they are about (paper, appendix F)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Int
from scipy.stats import spearmanr

from lasar_kit.data import stored_dataset
from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.errors import UserError
from lasar_kit.report.grid import Cell, Column, Grid, Row, Told
from lasar_kit.report.suite.ran import Ran
from lasar_kit.spec.suite import At
from lasar_kit.spec.suite_shows import SegmentsOf
from lasar_kit.store.layout import LOCK
from lasar_kit.store.run_folder import reading_run


def segments(ran: Ran, show: SegmentsOf) -> Grid:
    """A row for each number of segments, of the first row's first seed: the share of prompts that have so
    many, items in their histories, and different categories among these; both on average."""
    columns = (Column("segments"), Column("prop."), Column("hist. len.", 1), Column("cat. div.", 1))
    found: list[Row] = []
    notes = ["hist. len.: items that a prompt shows; cat. div.: different categories among them"]
    for data in ran.data:
        group = data if len(ran.data) > 1 else ""
        count, length, kinds = prompts(ran.runs[At(ran.rows(show)[0], ran.columns[0], data)][0])
        printed = show.printed.get(data, {})
        for number in np.unique(count).tolist():
            held = count == number
            cells = (_share(float(held.mean())), float(length[held].mean()), float(kinds[held].mean()))
            found.append(Row((f"{number} segment{'s' * (number != 1)}", *cells), group=group))
            if told := printed.get(str(number)):
                found.append(Row(("printed", _share(told[0]), *told[1:]), aside=True, group=group))
        if len(np.unique(count)) > 1:
            rho = [float(spearmanr(count, values).statistic) for values in (length, kinds)]
            found.append(Row(("trend", None, *map(_trend, rho)), aside=True, group=group))
            where = f"{data}: " if group else ""
            notes.append(f"{where}rank correlation with segments (Spearman): {rho[0]:.2f} and {rho[1]:.2f}")
    return Grid(show.caption or ran.suite.title, columns, tuple(found), tuple(notes))


def prompts(run: Path) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Of each training prompt that a run's teacher wrote about: segments, items, different categories.

    `UserError` where the run has no anchors.
    """
    with reading_run(run):
        spec = yaml.safe_load((run / LOCK).read_text(encoding="utf-8"))
        named = [name for name, stage in spec["stages"].items() if stage["use"] == "anchors"]
        if not named:
            raise UserError(f"{run}: no stage of it writes reasoning (anchors), so there are no segments")
        store = AnchorStore.open(run / "stages" / named[-1])
        dataset = stored_dataset.load(run / "stages" / "dataset")
        kind = np.unique(dataset.items["categories"].to_numpy(), return_inverse=True)[1]
        length, kinds = [], []
        for key in store.keys.tolist():
            end = key & 0xFFFFFFFF
            shown = dataset.train[key >> 32][max(0, end - spec["max_history"]) : end]
            length.append(len(shown))
            kinds.append(len(np.unique(kind[shown])))
        return np.diff(store.offsets), np.array(length), np.array(kinds)


def _share(share: float) -> Told:
    return Told(share, f"{share:.1%}")


def _trend(rho: float) -> Cell:
    return Told(rho, "↑" if rho > 0 else "↓")
