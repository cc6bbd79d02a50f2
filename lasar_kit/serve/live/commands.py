"""What `lasar-kit items` does. It loads the items of a run, and not its model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from lasar_kit.core.sources.items import item_table
from lasar_kit.core.sources.layout import Layout, delimited
from lasar_kit.core.sources.options import TableOptions
from lasar_kit.core.sources.tables import read_items
from lasar_kit.errors import UserError, one_line
from lasar_kit.process.screen import Screen, quiet_libraries
from lasar_kit.serve.live.catalogue import LiveCatalogue
from lasar_kit.serve.stock import Stock

if TYPE_CHECKING:
    import polars as pl

    from lasar_kit.catalogue import Catalogue


def add(run: Path, file: Path, catalogue: Catalogue) -> None:
    """Add the items of a file. `UserError` for a file or items that cannot be."""
    quiet_libraries()
    live = _live(run, catalogue)
    items = _read(file, live.model)
    rows = live.add(live.embed(items))
    for row in rows[:20]:
        print(f"{one_line(live.model.dataset.items['id'][row])}  {''.join(live.model.sid(row))}")
    rest = f", {len(rows) - 20} more than are shown" if len(rows) > 20 else ""
    print(f"{len(rows)} added{rest}; {_count(live)}")


def withdraw(run: Path, ids: Sequence[str], catalogue: Catalogue) -> None:
    """List items no more. `UserError` for those that are unknown."""
    live = _live(run, catalogue)
    live.withdraw(ids)
    print(f"{len(set(ids))} withdrawn; {_count(live)}")


def show(run: Path, catalogue: Catalogue, as_json: bool) -> None:
    """Print what came since, and what was withdrawn."""
    model = (live := _live(run, catalogue)).model
    gone = set(model.withdrawn.tolist())
    rows = sorted({*range(live.trained, model.dataset.items.height), *gone})
    told = [
        {
            "item": model.dataset.items["id"][row],
            "title": model.dataset.items["title"][row],
            "sid": model.sid(row),
            "added": row >= live.trained,
            "withdrawn": row in gone,
        }
        for row in rows
    ]
    if as_json:
        for one in told:
            print(json.dumps(one, ensure_ascii=False))
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("item", "title", "semantic ID", ""):
        table.add_column(name)
    for one in told:
        state = "withdrawn" if one["withdrawn"] else "added"
        # As texts: what data hold is no markup.
        table.add_row(
            Text(one_line(one["item"])), Text(one_line(one["title"])), Text("".join(one["sid"])), state
        )
    if told:
        Screen().print(table)
    print(_count(live))


def _live(run: Path, catalogue: Catalogue) -> LiveCatalogue[Stock]:
    return LiveCatalogue.of(Stock.read(run, catalogue))


def _count(live: LiveCatalogue[Stock]) -> str:
    count, gone = live.model.dataset.items.height, live.model.withdrawn
    came = count - live.trained - int((gone >= live.trained).sum())
    return f"the catalogue lists {count - len(gone):,} items, {came:,} of which came after training"


def _read(file: Path, model: Stock) -> pl.DataFrame:
    """The items of a table, its columns called as the run's own table calls them, or `id` and the fields."""
    assert model.origin is not None, "read from a run"
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    own = model.origin.loaded.spec.dataset
    options = own if isinstance(own, TableOptions) else TableOptions(use="csv")
    separator = options.own_separator or ("\t" if ".tsv" in file.suffixes else ",")
    table = delimited(file, Layout(separator, encoding=options.encoding))
    key = options.item_in_items or options.item
    if key not in table.columns and "id" in table.columns:
        options = options.model_copy(update={"item_in_items": "id"})
        key = "id"
    ids = [cells[0] for _, cells in table.rows([table.column("item", key)])]
    if not ids:
        raise UserError(f"{file}: holds no items, only the names of its columns")
    return item_table(ids, read_items(table, options, set(ids)).text)
