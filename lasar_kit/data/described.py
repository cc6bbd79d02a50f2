"""A description as it is stored and shown."""

from __future__ import annotations

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
    """What `save` wrote; nothing where there is none."""
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
    """What is worth a line at every load."""
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
    found = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1), title=Text(title), title_justify="left", show_header=False
    )
    found.add_column(no_wrap=True)
    found.add_column()
    for name, value in _rows(facts):
        found.add_row(name, Text(one_line(value)))
    return found


def _rows(facts: Facts) -> list[tuple[str, str]]:
    lengths, samples, ties = facts["lengths"], facts["samples"], facts["ties"]
    test, total = facts["targets"]["test"], facts["interactions"]
    rows = [(name, f"{facts[name]:,}") for name in ("users", "items", "interactions")]
    rows += [
        ("sparsity", f"{facts['sparsity']:.3%}"),
        (
            "items a user",
            f"{lengths['min']:,} to {lengths['max']:,}, mean {lengths['mean']:.2f}, median "
            f"{lengths['median']:g}",
        ),
        ("samples", ", ".join(f"{count:,} {name}" for name, count in samples.items())),
    ]
    if facts["found"]:
        rows.append(("read", ", ".join(f"{count:,} {name}" for name, count in facts["found"].items())))
    rows += [("left out" if n == 0 else "", line) for n, line in enumerate(_left_out(facts))]
    copies = "" if facts["copies"] is None else f", {facts['copies']:,} of them exact copies"
    rows.append(("repeats", f"{facts['repeats']:,}{copies}; {facts['in_a_row']:,} of the item just before"))
    if ties:
        held_out = ", ".join(f"{ties[name]:,} {name} targets" for name in ("validation", "test"))
        rows.append(
            (
                "ties in time",
                f"{ties['interactions']:,} of {total:,}, {held_out}; order: {ties['order']}",
            )
        )
    rows += [
        ("never trained", f"{facts['untrained_items']:,} items, {test['untrained']:,} test targets"),
        ("target in history", f"{test['in_history']:,} of {samples['test']:,} test targets"),
        ("text", ", ".join(f"{name} {count:,}" for name, count in facts["text"]["fields"].items())),
        ("no text", f"{facts['text']['none']:,} items"),
    ]
    if facts["unused_columns"]:
        rows.append(("columns not read", ", ".join(facts["unused_columns"])))
    if facts["item_file"]:
        rows.append(
            (
                facts["item_file"],
                f"lacks {facts['items_without_row']:,} items; {facts['rows_of_no_item']:,} in it nobody took",
            )
        )
    return rows
