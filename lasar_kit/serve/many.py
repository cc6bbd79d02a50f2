"""Lists behind very many histories, as a parquet file: in parts, by all processes, taken up where cut off."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from lasar_kit import __version__
from lasar_kit.errors import UserError, one_line
from lasar_kit.process.screen import Screen, Tick, quiet_libraries
from lasar_kit.process.world import from_all, from_main, is_main, rank, size, wait_for_all
from lasar_kit.serve.histories import ids, lines, no_history
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.store.artifacts import read_json, remove, sha256, write_json
from lasar_kit.store.layout import LOCK, MODEL
from lasar_kit.store.run_folder import alone_in

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue

ROWS = 4096
"""Histories of a part: what a process holds at once, and loses at most when it is killed."""
MOST_TOLD = 20
"""Lines of the file that are told of."""
ASKED = "asked.json"
SCHEMA = pl.Schema(
    {
        "line": pl.Int64(),
        "items": pl.List(pl.String()),
        "scores": pl.List(pl.Float32()),
        "unknown": pl.List(pl.String()),
    }
)
"""Columns of the file: the line of the history, from 1; raw ids, best first, and their log-probabilities; ids
that the run does not have: a history that holds any has no list."""


@dataclass(frozen=True)
class Work:
    """Lists that are asked for: of up to `k` items behind each line of `histories`, as the file `output`."""

    run: Path
    histories: Path
    output: Path
    k: int = 10
    exclude_history: bool = False
    refuse_unknown: bool = False
    rows: int = ROWS

    @property
    def parts(self) -> Path:
        """Where parts are until all are there."""
        return self.output.with_name(f".{self.output.name}.parts")

    def part(self, number: int) -> Path:
        """The file of a part."""
        return self.parts / f"{number:08d}.parquet"

    def chunks(self) -> Iterator[list[str]]:
        """Yield the lines of each part."""
        every = lines(self.histories)
        while chunk := list(islice(every, self.rows)):
            yield chunk


@dataclass(frozen=True)
class Survey:
    """What a file of histories holds: lines, how many are no histories or have an unknown id, and the first
    of these, by number."""

    lines: int
    wrong: int
    unknown: int
    first_wrong: Sequence[tuple[int, str]]
    first_unknown: Sequence[tuple[int, list[str]]]


def write(work: Work, catalogue: Catalogue) -> tuple[int, int]:
    """Write the file, all processes sharing in its parts; return how many lists and how many lines it has.

    A call that was cut off leaves finished parts, and the next one goes on behind them; that of another run,
    file or options begins anew. `UserError` before anything is written where the file is there already, for
    lines that are no histories, and for unknown ids as `recommend` has them.
    """
    quiet_libraries()
    _check_output(work.output)
    model = LoadedRun.current(work.run, catalogue)
    survey = _survey(work, model)
    _refuse(work, model, survey)
    with alone_in(work.parts) if is_main() else nullcontext():
        missing = from_main(lambda: _missing(work, model, -(-survey.lines // work.rows)))
        with Screen(silent=not is_main()).progress(str(work.histories), len(missing) * work.rows) as tick:
            _share(work, model, set(missing[rank() :: size()]), tick)
        wait_for_all()
        if is_main():
            _join(work)
    if is_main():
        remove(work.parts)
    return survey.lines - survey.unknown, survey.lines


def _check_output(output: Path) -> None:
    if output.suffix != ".parquet":
        raise UserError(f"--output {output}: must end in .parquet")
    if output.exists():
        raise UserError(f"--output {output}: is there already; remove it, or give another file")


def _survey(work: Work, model: LoadedRun) -> Survey:
    """Parse every line once, each process its share."""
    count, wrong, unknown = 0, list[tuple[int, str]](), list[tuple[int, list[str]]]()
    wrongs = unknowns = 0
    for number, chunk in enumerate(work.chunks()):
        if number % size() == rank():
            for line, text in enumerate(chunk, start=count + 1):
                try:
                    history = ids(text)
                except ValueError:
                    wrongs += 1
                    wrong += [(line, text)] * (len(wrong) < MOST_TOLD)
                    continue
                if any(item not in model.row_of for item in history):
                    unknowns += 1
                    unknown += [(line, history)] * (len(unknown) < MOST_TOLD)
        count += len(chunk)
    every = from_all(Survey(count, wrongs, unknowns, wrong, unknown))
    return Survey(
        count,
        sum(one.wrong for one in every),
        sum(one.unknown for one in every),
        sorted(found for one in every for found in one.first_wrong)[:MOST_TOLD],
        sorted(found for one in every for found in one.first_unknown)[:MOST_TOLD],
    )


def _refuse(work: Work, model: LoadedRun, survey: Survey) -> None:
    """`UserError` for lines that cannot be answered; unknown ids that cost no other its list are told of."""
    if survey.wrong:
        told = [no_history(f"{work.histories}:{line}", text) for line, text in survey.first_wrong]
        raise UserError(*told, *_more(survey.wrong))
    if not survey.unknown:
        return
    told = from_main(lambda: _hints(work, model, survey))
    if work.refuse_unknown or survey.unknown == survey.lines:
        raise UserError(*told)
    if is_main():
        sys.stderr.writelines(f"{one_line(line)}\n" for line in told)


def _hints(work: Work, model: LoadedRun, survey: Survey) -> list[str]:
    told = []
    for line, history in survey.first_unknown:
        try:
            model.rows(history)
        except UserError as error:
            told += [f"{work.histories}:{line}: {words}" for words in error.lines]
    return [*told, *_more(survey.unknown)]


def _more(count: int) -> list[str]:
    return [f"and {count - MOST_TOLD:,} more lines"] if count > MOST_TOLD else []


def _missing(work: Work, model: LoadedRun, count: int) -> list[int]:
    """The parts that are yet to be written; those that are there stay if they are of the same work."""
    key, asked = _key(work, model), work.parts / ASKED
    if not asked.is_file() or read_json(asked) != key:
        for stale in work.parts.glob("*.parquet"):
            stale.unlink()
        write_json(asked, key)
    return [number for number in range(count) if not work.part(number).exists()]


def _key(work: Work, model: LoadedRun) -> dict[str, object]:
    """What parts depend on: those of anything else are of no use."""
    weights = {file.name: sha256(file) for file in sorted((work.run / MODEL).iterdir()) if file.is_file()}
    spelled = hashlib.sha256(repr(list(model.row_of)).encode())
    spelled.update(model.sids.codes.cpu().numpy().tobytes())
    return {
        "version": __version__,
        "run": sha256(work.run / LOCK),
        "model": weights,
        "items": spelled.hexdigest(),
        "withdrawn": sorted(model.withdrawn.tolist()),
        "histories": sha256(work.histories),
        "k": work.k,
        "exclude_history": work.exclude_history,
        "rows": work.rows,
    }


def _share(work: Work, model: LoadedRun, own: set[int], tick: Tick) -> None:
    """Write these parts, each whole or not at all."""
    for number, chunk in enumerate(islice(work.chunks(), max(own, default=-1) + 1)):
        if number not in own:
            continue
        found = _lists(work, model, number * work.rows + 1, chunk)
        partial = work.part(number).with_suffix(".partial")
        with partial.open("wb") as file:
            found.write_parquet(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(work.part(number))
        tick(work.rows * size())  # the others are about as far


def _lists(work: Work, model: LoadedRun, first: int, chunk: Sequence[str]) -> pl.DataFrame:
    """The rows of lines that begin with number `first`."""
    histories = [ids(text) for text in chunk]
    unknown = [[item for item in history if item not in model.row_of] for history in histories]
    known = [history for history, left in zip(histories, unknown, strict=True) if not left]
    found = iter(model.rank(known, work.k, work.exclude_history, shared=False))
    lists = [[] if left else next(found) for left in unknown]
    columns = {
        "line": range(first, first + len(chunk)),
        "items": [[one.item for one in items] for items in lists],
        "scores": [[one.score for one in items] for items in lists],
        "unknown": unknown,
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def _join(work: Work) -> None:
    """Make one file of all parts, read and written a piece at a time."""
    whole = work.parts / "whole.partial"
    pl.scan_parquet(sorted(work.parts.glob("*.parquet"))).sink_parquet(whole)
    with whole.open("rb") as file:
        os.fsync(file.fileno())
    whole.replace(work.output)
