"""A study as a table, bars, a figure, a file of its numbers, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich import box
from rich.markup import escape
from rich.table import Table

from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT
from lasar_kit.process.screen import Screen
from lasar_kit.report.bootstrap import against
from lasar_kit.report.compare import Evaluated, over_seeds_of, unchanged_rows
from lasar_kit.report.comparison import RESAMPLES
from lasar_kit.report.table import TITLES
from lasar_kit.report.verdict import METRIC, Contrast, over_seeds, verdict
from lasar_kit.store.artifacts import write_json

NUMBERS, FIGURE = "study.json", "study.svg"
SHOWN = ("hr@10", "ndcg@10")
BAR = 32
"""Letters of the longest bar."""


@dataclass(frozen=True)
class Control:
    """A row of a study that was run: its name, its kind, and the folders of its seeds."""

    name: str
    kind: str
    runs: tuple[Path, ...]


@dataclass(frozen=True)
class Study:
    """All of a study's numbers: each row's under the headline's protocol, those of the first row's model at
    each forced depth, contrasts of the first row with each other one, milliseconds a user."""

    protocol: str
    rows: Mapping[str, Evaluated]
    kinds: Mapping[str, str]
    by_depth: Mapping[int, Evaluated]
    contrasts: tuple[Contrast, ...]
    skipped: Mapping[str, str]
    cost: Mapping[str, float]

    @classmethod
    def of(
        cls,
        ran: Sequence[Control],
        stage: str,
        depths: Mapping[int, str],
        skipped: Mapping[str, str],
        cost: Mapping[str, float],
        history_out: bool,
    ) -> Study:
        """Read the runs; `depths` names the evaluate stages of the first row that force a depth."""
        protocol = HISTORY_OUT if history_out else HISTORY_IN
        rows = {row.name: over_seeds_of(row.runs, stage) for row in ran}
        by_depth = {depth: over_seeds_of(ran[0].runs, name) for depth, name in depths.items()}
        kinds = {row.name: row.kind for row in ran}
        contrasts = _contrasts({name: row.values[protocol][SHOWN[1]] for name, row in rows.items()}, kinds)
        return cls(protocol, rows, kinds, by_depth, contrasts, dict(skipped), dict(cost))

    @property
    def sentence(self) -> str:
        """The verdict."""
        first = next(iter(self.rows))
        plain = [self.cost[name] for name, kind in self.kinds.items() if kind == "none" and name in self.cost]
        slower = self.cost[first] / plain[0] if plain and first in self.cost else None
        return verdict(self.contrasts, self.skipped, slower)

    def seeds(self, row: Evaluated, metric: str) -> Float[np.ndarray, " S"]:
        """A row's metric by seed."""
        means: Float[np.ndarray, " S"] = row.values[self.protocol][metric].mean(1)
        return means

    def show(self, screen: Screen) -> None:
        """Print table, bars and sentence."""
        screen.print(self._table())
        for name, reason in self.skipped.items():
            screen.print(f"not run: {escape(name)}: {escape(reason)}")
        if find_spec("matplotlib") is None:
            screen.print("\n".join(escape(line) for line in self._bars()))
        screen.print(f"[bold]{escape(self.sentence)}[/bold]")

    def write(self, folder: Path) -> None:
        """Write the numbers, and the figure where matplotlib is installed."""
        write_json(folder / NUMBERS, self.numbers())
        if find_spec("matplotlib") is not None:
            from lasar_kit.report.study_figure import draw

            draw(self, folder / FIGURE)

    def numbers(self) -> dict[str, Any]:
        """All of it as JSON; lists are by seed."""

        def told(row: Evaluated) -> dict[str, Any]:
            return {name: self.seeds(row, name).tolist() for name in SHOWN} | {"depth": row.depth.tolist()}

        rows = {
            name: {"kind": self.kinds[name], **told(row), "ms_a_user": self.cost.get(name)}
            for name, row in self.rows.items()
        }
        return {
            "protocol": self.protocol,
            "rows": rows,
            "by_depth": {str(depth): told(row) for depth, row in self.by_depth.items()},
            "contrasts": [asdict(one) | {"standing": one.standing} for one in self.contrasts],
            "skipped": dict(self.skipped),
            "verdict": self.sentence,
        }

    def _table(self) -> Table:
        first = next(iter(self.rows.values()))
        seeds = len(first.depth)
        spread = f"; mean ± standard deviation over {seeds} seeds" if seeds > 1 else "; one seed"
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left")
        table.title = f"{len(first.targets):,} users, {TITLES[self.protocol]}"
        table.caption = (
            f"ms: to rank for a user; change: {METRIC} as it is less that of the row; p over users: "
            f"{RESAMPLES:,} paired resamples, corrected for {len(self.contrasts)} rows (Holm); over seeds: "
            f"paired t-test{spread}"
        )
        table.caption = "\n".join([table.caption, *unchanged_rows(self.rows)])
        table.add_column("row", no_wrap=True)
        for name in ("HR@10", METRIC, "mean N", "ms", "change", "p users", "p seeds"):
            table.add_column(name, justify="right", no_wrap=True)
        contrasts = {one.name: one for one in self.contrasts}
        for name, row in self.rows.items():
            cost = f"{self.cost[name]:.1f}" if name in self.cost else ""
            table.add_row(escape(name), *self._cells(row), cost, *_compared(contrasts.get(name)))
        if self.by_depth:
            table.add_section()
        for depth, row in self.by_depth.items():
            table.add_row(f"forced to N = {depth}", *self._cells(row), *[""] * 4)
        return table

    def _cells(self, row: Evaluated) -> list[str]:
        hr, ndcg = (self.seeds(row, name) for name in SHOWN)
        depth = "" if np.isnan(row.depth).any() else f"{row.depth.mean():.2f}"
        return [f"{hr.mean():.4f}", _spread(ndcg), depth]

    def _bars(self) -> list[str]:
        """The rows' metric as bars of letters, for where no figure can be drawn."""
        means = {name: float(self.seeds(row, SHOWN[1]).mean()) for name, row in self.rows.items()}
        wide, most = max(map(len, means)), max([*means.values(), 1e-12])
        return [
            f"{name:<{wide}}  {'█' * round(BAR * value / most):<{BAR}}  {value:.4f}"
            for name, value in means.items()
        ]


def _contrasts(
    values: Mapping[str, Float[np.ndarray, "S U"]], kinds: Mapping[str, str]
) -> tuple[Contrast, ...]:
    """The first row against each other one."""
    (_, first), *others = values.items()
    tests = against(first.mean(0), [other.mean(0) for _, other in others], RESAMPLES)
    found = []
    for (name, other), test in zip(others, tests, strict=True):
        mine, theirs = first.mean(1), other.mean(1)
        relative = test.difference / theirs.mean() if theirs.mean() else float("inf")
        higher = int((mine > theirs).sum())
        found.append(
            Contrast(
                name,
                kinds[name],
                test.difference,
                float(relative),
                test.p_value,
                over_seeds(mine, theirs),
                higher,
                len(mine),
            )
        )
    return tuple(found)


def _compared(one: Contrast | None) -> list[str]:
    if one is None:
        return ["", "", ""]
    seeds = "" if one.p_seeds is None else f"{one.p_seeds:.3f}"
    return [f"{round(one.difference, 4) + 0.0:+.4f}", f"{one.p_users:.3f}", seeds]


def _spread(values: Float[np.ndarray, " S"]) -> str:
    deviation = f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else ""
    return f"{values.mean():.4f}{deviation}"
