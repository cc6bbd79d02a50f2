"""A suite whose runs are done: what each place of it answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float

from lasar_kit.errors import UserError
from lasar_kit.report.answers import Answers, PerUser
from lasar_kit.report.bootstrap import against
from lasar_kit.report.compare import Evaluated, common_protocols, over_seeds_of
from lasar_kit.report.table import read_metrics
from lasar_kit.spec.suite import At, Suite
from lasar_kit.spec.suite_shows import Show
from lasar_kit.store.layout import LOCK
from lasar_kit.store.run_folder import reading_run

Timer = Callable[[Mapping[str, Path], int, int], Mapping[str, float]]
"""Milliseconds a user of models by name, asked for so many users at once, of so many in all."""


@dataclass(frozen=True)
class Ran:
    """A suite, the folders of its runs at each place (a seed each), and what times models."""

    suite: Suite
    runs: Mapping[At, Sequence[Path]]
    timer: Timer
    _read: dict[At, Evaluated] = field(default_factory=dict)

    @property
    def data(self) -> list[str]:
        """Names of the data sets; a single one may have none."""
        return list(dict.fromkeys(at.data for at in self.runs))

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(at.column for at in self.runs))

    @property
    def seeds(self) -> int:
        return max(map(len, self.runs.values()))

    def rows(self, show: Show) -> list[str]:
        """The rows that a table or a figure is of."""
        return list(show.rows or self.suite.rows)

    def evaluated(self, at: At) -> Evaluated:
        """What the runs at a place answered in the stage that the suite reads."""
        if at not in self._read:
            self._read[at] = over_seeds_of(self.runs[at], self.suite.stage)
        return self._read[at]

    def protocols(self, data: str, rows: Sequence[str]) -> list[str]:
        """Those that are told of; `UserError` where rows on a data set were not asked the same."""
        places = [At(row, column, data) for row in rows for column in self.columns]
        common = common_protocols([self.evaluated(at) for at in places])
        wanted = [name for name in common if self.suite.lists in (None, name)]
        if not wanted:
            raise UserError(f"lists: no run tells of {self.suite.lists}")
        return wanted

    def headline(self, data: str, rows: Sequence[str]) -> str:
        """The protocol of a figure."""
        return self.protocols(data, rows)[0]

    def seeds_of(self, at: At, protocol: str, metric: str) -> Float[np.ndarray, " S"]:
        """A metric at a place, by seed."""
        means: Float[np.ndarray, " S"] = self.evaluated(at).values[protocol][metric].mean(1)
        return means

    def tests(
        self, data: str, column: str, protocol: str, metric: str, rows: Sequence[str]
    ) -> dict[str, float]:
        """P-values of rows against the suite's reference, of users' means over seeds, corrected for the rows
        (Holm); nothing of a reference that is none of the rows."""
        first, others = self.suite.reference, [row for row in rows if row != self.suite.reference]
        if first not in rows:
            return {}
        means = {row: self.evaluated(At(row, column, data)).values[protocol][metric].mean(0) for row in rows}
        tests = against(means[first], [means[row] for row in others])
        return {row: test.p_value for row, test in zip(others, tests, strict=True)}

    def printed(self, at: At, key: str) -> float | None:
        """The number that a paper has at a place."""
        numbers = self.suite.rows[at.row].printed.get(at.data, {})
        found = numbers.get(at.column) if at.column else numbers
        value = found.get(key) if isinstance(found, Mapping) else None
        return value if isinstance(value, float) else None

    def answers(self, at: At) -> Answers:
        """Users' answers, those of all seeds behind each other."""
        told = [_answers(run, self.suite.stage) for run in self.runs[at]]
        values: dict[str, dict[str | None, PerUser]] = {
            protocol: {
                None: {
                    key: np.concatenate([one.values[protocol][None][key] for one in told])
                    for key in told[0].values[protocol][None]
                }
            }
            for protocol in told[0].values
        }
        return replace(
            told[0],
            label=at.row,
            users=tuple(user for one in told for user in one.users),
            targets=tuple(target for one in told for target in one.targets),
            depth=np.concatenate([one.depth for one in told]),
            values=values,
        )


def _answers(run: Path, stage: str | None) -> Answers:
    """Of the stage of that name, or of the last that ranked items for users."""
    metrics = read_metrics(run)
    with reading_run(run):
        options = yaml.safe_load((run / LOCK).read_text(encoding="utf-8"))["stages"]
        name = stage or list(metrics)[-1]
        return Answers.read(run, name, metrics[name], options.get(name, {}))
