"""A description as it is stored and shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from lasar_kit.core.dataset import Dataset
from lasar_kit.data.description import Facts, describe
from lasar_kit.data.doubts import doubts
from lasar_kit.errors import one_line
from lasar_kit.process.screen import Screen
from lasar_kit.spec.component import ComponentConfig
from lasar_kit.store.artifacts import read_json, write_json

FILE = "dataset.json"

_STEPS = {
    "passed_over": "reviews under 'min_rating'",
    "copies": "exact copies",
    "repeats": "repeats",
    "k_core": "the k-core",
    "short_users": "users of fewer than three",
    "max_users": "'max_users'",
}


def described(dataset: Dataset, config: ComponentConfig) -> Facts:
    """`describe`, and under `warnings` the lines about what can hardly be meant."""
    facts = describe(dataset)
    lines = doubts(dataset, facts, set(type(config).model_fields))
    return facts | {"warnings": [one_line(line) for line in lines]}


def save(facts: Facts, folder: Path) -> None:
    """Write `dataset.json`."""
    write_json(folder / FILE, facts)


def load(folder: Path) -> Facts:
    """Read what `save` wrote; nothing where there is none."""
    return read_json(folder / FILE) if (folder / FILE).is_file() else {}


def show_warnings(facts: Facts, screen: Screen) -> None:
    """A line each."""
    for line in facts.get("warnings", ()):
        screen.console.print(f"  warning: dataset: {line}", style="yellow", markup=False, soft_wrap=True)


def show(facts: Facts, screen: Screen) -> None:
    """A few lines, and the warnings."""
    for line in summary(facts):
        screen.console.print(f"  {line}", markup=False, soft_wrap=True)
    show_warnings(facts, screen)


def summary(facts: Facts) -> list[str]:
    """List the facts that are worth a line at every load."""
    lengths, samples = facts["lengths"], facts["samples"]
    lines = [
        ", ".join(f"{facts[name]:,} {name}" for name in ("users", "items", "interactions")),
        f"{lengths['min']:,} to {lengths['max']:,} items a user, {lengths['mean']:.1f} on average; "
        f"{samples['training']:,} samples to train on, {samples['test']:,} to test",
    ]
    if filled := {name: count for name, count in facts["text"]["fields"].items() if count}:
        lines.append("text: " + ", ".join(f"{name} {count:,}" for name, count in filled.items()) + " items")
    if facts["left_out"]:
        lines.append("left out: " + "; ".join(_left_out(facts)))
    return lines


def _left_out(facts: Facts) -> list[str]:
    return [
        f"{gone['interactions']:,} interactions by {_STEPS.get(step, step)}"
        + (f" ({gone['users']:,} users, {gone['items']:,} items)" if gone["users"] or gone["items"] else "")
        for step, gone in facts["left_out"].items()
    ]


def table(facts: Facts, title: str) -> Table:
    """All of it, a row a fact."""
    shown = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1), title=Text(title), title_justify="left", show_header=False
    )
    shown.add_column(no_wrap=True)
    shown.add_column()
    for name, value in rows(facts):
        shown.add_row(name, Text(one_line(value)))
    return shown


def rows(facts: Facts) -> list[tuple[str, str]]:
    """Every fact: what it is called, and what it is."""
    return [*_sizes(facts), *_order(facts), *_of_items(facts)]


def _sizes(facts: Facts) -> Iterator[tuple[str, str]]:
    lengths, samples = facts["lengths"], facts["samples"]
    for name in ("users", "items", "interactions"):
        yield name, f"{facts[name]:,}"
    yield "sparsity", f"{facts['sparsity']:.3%}"
    mean = f"mean {lengths['mean']:.2f}, median {lengths['median']:g}"
    yield "items a user", f"{lengths['min']:,} to {lengths['max']:,}, {mean}"
    yield "samples", ", ".join(f"{count:,} {name}" for name, count in samples.items())
    if facts["found"]:
        yield "read", ", ".join(f"{count:,} {name}" for name, count in facts["found"].items())
    for line in _left_out(facts):
        yield "left out", line


def _order(facts: Facts) -> Iterator[tuple[str, str]]:
    ties, test = facts["ties"], facts["targets"]["test"]
    copies = "" if facts["copies"] is None else f", {facts['copies']:,} of them exact copies"
    yield "repeats", f"{facts['repeats']:,}{copies}; {facts['in_a_row']:,} of the item just before"
    if ties:
        held_out = ", ".join(f"{ties[name]:,} {name} targets" for name in ("validation", "test"))
        yield "ties in time", f"{ties['interactions']:,} interactions, {held_out}; order: {ties['order']}"
    yield "never trained", f"{facts['untrained_items']:,} items, {test['untrained']:,} test targets"
    yield "target in history", f"{test['in_history']:,} of {facts['samples']['test']:,} test targets"


def _of_items(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "text", ", ".join(f"{name} {count:,}" for name, count in facts["text"]["fields"].items())
    yield "no text", f"{facts['text']['none']:,} items"
    if facts["unused_columns"]:
        yield "columns not read", ", ".join(facts["unused_columns"])
    if facts["item_file"]:
        lacks, spare = facts["items_without_row"], facts["rows_of_no_item"]
        yield facts["item_file"], f"lacks {lacks:,} items; {spare:,} in it nobody took"
