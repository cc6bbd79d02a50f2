"""Sections of the page of a run: tables and figures under a title."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lasar_kit.core.metrics import PROTOCOLS
from lasar_kit.data import described
from lasar_kit.process.screen import duration
from lasar_kit.report import groups
from lasar_kit.report.answers import Answers, intervals
from lasar_kit.report.figures import curves, parts, results
from lasar_kit.report.figures.canvas import Drawn
from lasar_kit.report.grid import Column, Grid, Measured, Row
from lasar_kit.report.html import thoughts
from lasar_kit.report.html.material import Material
from lasar_kit.report.html.thoughts import Explain
from lasar_kit.report.observers import read_log
from lasar_kit.report.published import published
from lasar_kit.report.table import SHOWN, TITLES, metrics_grids

METHOD = (
    "Intervals hold 95 % of 2,000 means over users drawn with replacement (percentile bootstrap, a fixed "
    "seed); there is none where all users have one value. They speak of other users, not of other seeds."
)
_BY_LEVEL = ("sizes", "usage", "perplexity", "relative_error")
"""Lists in the report of a stage that makes SIDs, a value a level."""

_SHORT = {"history_in": "in", "history_out": "out"}


@dataclass(frozen=True)
class Section:
    """A part of the page; `folded` tables are opened by a click."""

    title: str
    text: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    figures: tuple[Drawn, ...] = ()
    folded: tuple[Grid, ...] = ()
    verbatim: str = ""


def sections(run: Material, explain: Explain | None = None, users: int = 0) -> Iterator[Section]:
    """All that there is to tell of a run, in the order of reading; thoughts about so many users."""
    yield _what(run)
    yield _results(run)
    yield from _groups(run)
    yield from _depths(run)
    yield from _thoughts(run, explain, users)
    yield from _training(run)
    yield from _sids(run)
    yield _cost(run)


def _what(run: Material) -> Section:
    """Spec, data, versions, cost."""
    spec, backbone = run.spec, run.spec.get("backbone", {})
    size = backbone.get("pretrained") or ", ".join(
        f"{key.replace('_', ' ')} {backbone[key]}" for key in ("hidden_size", "layers") if key in backbone
    )
    made = [artifact.made for artifact in run.artifacts.values() if artifact.made]
    packages = {f"{name} {held}" for one in made for name, held in one.get("packages", {}).items()}
    rows = [
        ("name", str(spec["name"])),
        ("seed", str(spec["seed"])),
        ("data set", str(spec.get("dataset", {}).get("use", ""))),
        ("backbone", f"{backbone.get('use', '')} ({size})" if size else str(backbone.get("use", ""))),
        ("parameters", ", ".join(f"{count:,}" for count in sorted(run.parameters))),
        ("stages", " → ".join(run.artifacts)),
        ("time", duration(sum(artifact.seconds for artifact in run.artifacts.values()))),
        ("device", ", ".join(sorted({str(one.get("device", "")) for one in made}))),
        ("processes", ", ".join(sorted({str(one.get("processes", "")) for one in made}))),
        ("python", ", ".join(sorted({str(one.get("python", "")) for one in made}))),
        ("packages", ", ".join(sorted(packages))),
    ]
    facts = described.rows(run.facts) if run.facts else []
    grids = [Grid.of("Run", ["", ""], [row for row in rows if row[1]])]
    grids += [Grid.of("Data set", ["", ""], facts, *run.facts.get("warnings", ()))] if facts else []
    return Section("What was run", grids=tuple(grids), verbatim=run.lock)


def _results(run: Material) -> Section:
    grids = metrics_grids(run.metrics, intervals(run.answers))
    figures = [
        results.beside(f"results-{number}", f"{grid.title}: HR@10 and NDCG@10", grid, ("HR@10", "NDCG@10"))
        for number, grid in enumerate(grids, 1)
        if any(isinstance(row.cells[_place(grid, "HR@10")], Measured) for row in grid.rows)
    ]
    known = published(run.facts.get("users", 0), run.facts.get("items", 0))
    text = [METHOD, "Numbers with histories in the lists and without say nothing beside each other."]
    if known:
        text.append("What was published on this data set stands apart, by the same rule.")
    return Section("Results", tuple(text), (*grids, *known), tuple(figures))


def _place(grid: Grid, name: str) -> int:
    return [column.name for column in grid.columns].index(name)


def _groups(run: Material) -> Iterator[Section]:
    """By history length, popularity, cold and warm; of stages that were asked the same, together."""
    for asked in run.questions():
        for grouping in groups.groupings(run.path, run.split(asked[0]), asked[0].users):
            grids, figures = [], []
            for protocol in (name for name in PROTOCOLS if all(name in one.values for one in asked)):
                for metric in ("ndcg@10", "hr@10"):
                    title = f"{metric.upper()} by {grouping.name}, {TITLES[protocol]}"
                    grid = groups.grouped(grouping, asked, protocol, metric, title)
                    grids.append(grid)
                    if metric == "ndcg@10" and grouping.tells:
                        name = f"by-{grouping.key}-{_SHORT[protocol]}"
                        figures.append(results.over_groups(name, title, grouping.name, "NDCG@10", grid))
            yield Section(grouping.title, _remarks(grouping), (), tuple(figures), tuple(grids))


def _remarks(grouping: groups.Grouping) -> tuple[str, ...]:
    if grouping.key == "cold" and not len(grouping.users(0)):
        return ("No target is cold: all were bought in training.",)
    return ("Groups are of about as many users.",) if grouping.key != "cold" else ()


def _depths(run: Material) -> Iterator[Section]:
    """How long models thought, before RL and after, and what came of it."""
    thinking = [one for one in run.answers.values() if one.thinks]
    figures = [parts.depths(thinking)] if thinking else []
    figures += [
        drawn
        for stage in run.artifacts
        if (drawn := parts.drawn_depths(stage, list(read_log(run.path / "stages" / stage)))) is not None
    ]
    grids = []
    for one in thinking:
        grouping = groups.by_depth(one)
        for protocol in one.values:
            grid = _by_depth(grouping, one, protocol)
            grids.append(grid)
            turned = groups.grouped(grouping, [_alone(one)], protocol, "hr@10", grid.title)
            if grouping.tells:
                name = f"by-depth-{one.stage}-{_SHORT[protocol]}"
                caption = f"{one.label}: HR@10 by thoughts, {TITLES[protocol]}"
                figures.append(results.over_groups(name, caption, "thoughts N", "HR@10", turned))
    if figures or grids:
        yield Section("Depth of thinking", (), (), tuple(figures), tuple(grids))


def _thoughts(run: Material, explain: Explain | None, users: int) -> Iterator[Section]:
    """What the model thinks about some users, thought by thought, and what it writes."""
    text, grids = thoughts.grids(run, explain, users)
    if text or grids:
        yield Section("Thoughts about some users", tuple(text), tuple(grids))


def _alone(one: Answers) -> Answers:
    """A model without what stands beside it."""
    return replace(one, values={protocol: {None: rows[None]} for protocol, rows in one.values.items()})


def _by_depth(grouping: groups.Grouping, one: Answers, protocol: str) -> Grid:
    """A row a depth: users, their share, and the metrics with intervals."""
    columns = (Column("thoughts"), Column("users"), Column("share", 3), *(Column(m.upper()) for m in SHOWN))
    turned = [
        groups.grouped(grouping, [_alone(one)], protocol, metric, "").rows[1].cells[1:] for metric in SHOWN
    ]
    rows = []
    for place, label in enumerate(grouping.labels):
        users = len(grouping.users(place))
        cells = (label, users, users / len(one.users), *(cells[place] for cells in turned))
        rows.append(Row(cells))
    return Grid(f"{one.label} by depth, {TITLES[protocol]}", columns, tuple(rows))


def _training(run: Material) -> Iterator[Section]:
    for stage, artifact in run.artifacts.items():
        log = list(read_log(run.path / "stages" / stage))
        if log:
            told = artifact.report
            text = [f"{told['updates']:,} updates"] if "updates" in told else []
            if "best_update" in told:
                text.append(f"kept: the model of update {told['best_update']:,}")
            warnings = tuple(map(str, told.get("warnings", ())))
            line = (", ".join(text) + ".",) if text else ()
            yield Section(f"Training: {stage}", (*line, *warnings), (), tuple(curves.curves(stage, log)))


def _sids(run: Material) -> Iterator[Section]:
    for stage, artifact in run.artifacts.items():
        told = artifact.report
        if not set(_BY_LEVEL) <= told.keys():
            continue
        columns: list[Column | str] = ["level", "codes", Column("used", 3), Column("perplexity", 1)]
        levels = zip(*(told[key] for key in _BY_LEVEL), strict=True)
        rows = [(str(level), codes, *map(float, values)) for level, (codes, *values) in enumerate(levels, 1)]
        columns.append(Column("relative error", 6))
        grid = Grid.of(f"Levels of the SIDs of {told['items']:,} items", columns, rows)
        shared = told.get("collisions", {})
        apart = [(name.replace("_", " "), value) for name, value in shared.items()]
        collisions = (Grid.of("Collisions", ["", ""], apart),) if apart else ()
        text = (told["caution"],) if told.get("caution") else ()
        yield Section(f"Semantic IDs: {stage}", text, (grid, *collisions), (parts.sids(stage, grid),))


def _cost(run: Material) -> Section:
    """Where time and memory went."""
    seconds = {name: artifact.seconds for name, artifact in run.artifacts.items()}
    memory = {name: made.made["memory"] for name, made in run.artifacts.items() if "memory" in made.made}
    device = {
        name: made.made["device_memory"]
        for name, made in run.artifacts.items()
        if "device_memory" in made.made
    }
    figures = [parts.cost("time", "Time by stage", seconds, "seconds", "seconds")]
    if memory:
        figures.append(parts.cost("memory", "Peak memory of the process by stage", memory, "MiB", "MiB"))
    if device:
        figures.append(parts.cost("device-memory", "Peak memory of the GPU by stage", device, "MiB", "MiB"))
    columns: list[Column | str] = ["stage", "time", Column("seconds", 1), "MiB", "MiB of the GPU", "updates"]
    rows = [
        (name, duration(took), float(took), memory.get(name), device.get(name), _updates(run, name))
        for name, took in seconds.items()
    ]
    total = sum(seconds.values())
    rows.append(("all", duration(total), float(total), None, None, None))
    kept: Sequence[int] = [0, 1, 2, *([3] if memory else []), *([4] if device else []), 5]
    grid = Grid.of("", [columns[n] for n in kept], [tuple(row[n] for n in kept) for row in rows])
    text = "Of the run that made each stage; peaks are of one process, all that it held by then counted in."
    return Section("Time and memory", (text,), (grid,), tuple(figures))


def _updates(run: Material, stage: str) -> int | None:
    told: Mapping[str, Any] = run.artifacts[stage].report
    return told.get("updates")
