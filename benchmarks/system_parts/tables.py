"""The tables of docs/systems.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean, median, mode, stdev

from system_parts.listed import METRICS, PROTOCOLS, STUDIES, SYSTEMS, TRIED
from system_parts.stored import Result


def rows(runs: Sequence[Result], data: str) -> Iterator[tuple[str, str, str, list[Result]]]:
    """System, what its name ends with, stage and runs of each row of a data set."""
    for name, system in SYSTEMS.items():
        own = _of(runs, data, name)
        for stage, suffix in system.rows.items():
            if found := [run for run in own if stage in run["stages"]]:
                yield name, suffix, stage, found


def shown(values: Sequence[float]) -> str:
    """The mean, and the standard deviation where there are several."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def table(stored: Result, data: str) -> str:
    """Markdown: every system on a data set, and what its minutes are of."""
    lines = [
        "| | seeds | excluded: HR@10 | NDCG@10 | not excluded: HR@10 | NDCG@10 | minutes | on a CPU |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    timed: dict[str, list[Result]] = {}
    for name, suffix, stage, runs in rows(stored["runs"], data):
        cells = [shown([run["stages"][stage][p][m] for run in runs]) for p in PROTOCOLS for m in METRICS]
        cells += ["", ""] if name in timed else map(_minutes, _kinds(runs))
        timed.setdefault(name, runs)
        lines.append(f"| {name}{suffix} | {len(runs)} | {' | '.join(cells)} |")
    by_kind = [{name: _kinds(runs)[kind] for name, runs in timed.items()} for kind in (0, 1)]
    told = [_where(kind) for kind in by_kind if any(kind.values())]
    lines += ["", f"Minutes of one run, all its stages, the median over seeds: {'; '.join(told)}."]
    return "\n".join(lines)


def _kinds(runs: Sequence[Result]) -> tuple[list[Result], list[Result]]:
    """The runs on accelerators and those on a CPU, of some of which the `time` alone is kept."""
    kinds: tuple[list[Result], list[Result]] = [], []
    for run in runs:
        kinds["CPU" in run["device"]].append(run)
        if "time" in run:
            kinds[1].append(run["time"])
    return kinds


def study(stored: Result, data: str, name: str) -> str:
    """Markdown: what more training gave, with thoughts and without.

    A stage that no run has is left out, as is what is not known of any.
    """
    runs = _of(stored["runs"], data, name)
    heads = [
        f"{len(runs)} seed{'s' * (len(runs) > 1)}",
        "excluded: NDCG@10",
        "p",
        "not excluded: NDCG@10",
        "p",
    ]
    heads += ["validation", "minutes"]
    cells = []
    for stage, row in STUDIES[name].rows.items():
        if not (own := [run for run in runs if stage in run["stages"]]):
            continue
        cells.append([row + ("" if len(own) == len(runs) else f" ({len(own)} of {len(runs)} seeds)")])
        for protocol in PROTOCOLS:
            p = stored["study"].get(data, {}).get(name, {}).get(protocol, {}).get(stage)
            cells[-1].append(shown([run["stages"][stage][protocol]["ndcg@10"] for run in own]))
            cells[-1].append("" if p is None else f"{p:.3f}")
        cells[-1] += _trained(own, "train" if stage == "evaluate" else stage.removeprefix("e_"))
    known = [place for place in range(len(heads)) if place < 5 or any(row[place] for row in cells)]
    first, *others = (f"| {' | '.join(line[place] for place in known)} |" for line in (heads, *cells))
    where = _where({name: runs})
    note = f"Minutes of one run, all these stages, the median over seeds: {_minutes(runs)}, {where}."
    return "\n".join([first, f"|---|{'---:|' * (len(known) - 1)}", *others, "", note])


def tried(stored: Result, data: str) -> str:
    """Markdown: what each way to think was validated at and took, beside the same without it."""
    lines = [
        "| | validation | minutes | without it: validation | minutes |",
        "|---|---:|---:|---:|---:|",
    ]
    for one in TRIED:
        own, other = (_of(stored["runs"], data, name) for name in (one.system, one.without))
        if own and other and (cost := _cost(own, one.stage))[0]:
            cells = [*cost, *_cost(other, one.control)]
            lines.append(f"| {one.way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cost(runs: Sequence[Result], stage: str) -> list[str]:
    """What a stage of training was kept at and its minutes; of the whole run where it has one alone."""
    if stage:
        return _trained(runs, stage)
    return [f"{mean(run['validation'] for run in runs):.4f}", _minutes(runs)]


def _trained(runs: Sequence[Result], stage: str) -> list[str]:
    """What a stage of training was kept at, and its minutes; blank where a run lacks them."""
    told = [run.get("trained", {}).get(stage, {}) for run in runs]
    validations = [found["validation"] for found in told if "validation" in found]
    seconds = [found["seconds"] for found in told if "seconds" in found]
    return [
        f"{mean(validations):.4f}" if len(validations) == len(runs) else "",
        f"{median(seconds) / 60:.1f}" if len(seconds) == len(runs) else "",
    ]


def _of(runs: Sequence[Result], data: str, name: str) -> list[Result]:
    own = (run for run in runs if run["data"] == data and run["name"] == name)
    return sorted(own, key=lambda run: int(run["seed"]))


def _minutes(runs: Sequence[Result]) -> str:
    """Of the median run on the device of most; blank where there is none."""
    if not runs:
        return ""
    return f"{median(run['seconds'] for run in runs if run['device'] == _device(runs)) / 60:.1f}"


def _where(timed: dict[str, list[Result]]) -> str:
    """The device of most systems, then each other one with the systems of it."""
    systems: dict[str, list[str]] = {}
    for name, runs in timed.items():
        if runs:
            systems.setdefault(_device(runs), []).append(name)
    first, *others = sorted(systems, key=lambda device: -len(systems[device]))
    return "; ".join([first, *(f"{', '.join(systems[device])}: {device}" for device in others)])


def _device(runs: Sequence[Result]) -> str:
    """That of most of a system's runs, whose minutes are told."""
    return mode(run["device"] for run in runs)
