"""The catalogue in files that need no code of the kit: item table, SIDs, the trie as arrays, the prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int
from safetensors.numpy import save_file

from lasar_kit.core.prefixes import prefixes
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.serve.stock import Stock
from lasar_kit.store.artifacts import write_json

INDEX, WITHDRAWN, PROMPT, ITEMS, TRIE = (
    "index.json",
    "withdrawn.json",
    "prompt.json",
    "catalogue/items.parquet",
    "catalogue/trie.safetensors",
)


def trie_arrays(tokens: Int[np.ndarray, "I M"]) -> dict[str, Int[np.ndarray, " n"]]:
    """Return the trie of I items of M tokens each as flat arrays.

    `first.0` to `first.{M-1}`: the children of node n of a level, the root being node 0 of level 0, are the
    nodes `first.m[n]` up to `first.m[n + 1]` of the next, ascending by token. `token.m`: the token by which
    each node of level m + 1 is reached. Node n of the last level is the SID of the rows
    `items[items_first[n]]` up to `items[items_first[n + 1] - 1]`, more than one where items share it.
    """
    order, starts = prefixes(tokens)
    found = {"items": order}
    parent = np.zeros(len(order), dtype=np.int64)
    for level, begins in enumerate(starts):
        node = begins.cumsum() - 1
        own = parent[begins]
        found[f"first.{level}"] = np.searchsorted(own, np.arange(own[-1] + 2))
        found[f"token.{level}"] = tokens[order, level][begins]
        parent = node
    found["items_first"] = np.append(np.flatnonzero(starts[-1]), len(order))
    return {name: np.ascontiguousarray(array, dtype=np.int64) for name, array in found.items()}


def write_catalogue(stock: Stock, tokenizer: Any, folder: Path) -> None:
    """Write the SIDs (`index.json`, raw id to tokens, as LC-Rec has it), the item table and the trie; apart
    from them the SIDs of items that were withdrawn, which histories may still hold."""
    (folder / TRIE).parent.mkdir()
    listed = np.ones(stock.dataset.items.height, dtype=bool)
    listed[stock.withdrawn] = False
    for name, rows in ((INDEX, np.flatnonzero(listed)), (WITHDRAWN, np.flatnonzero(~listed))):
        spelled = {stock.dataset.items["id"][row]: stock.sid(row) for row in rows.tolist()}
        (folder / name).write_text(json.dumps(spelled, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    table: pl.DataFrame = stock.dataset.items.filter(pl.Series(listed))
    table.write_parquet(folder / ITEMS)
    save_file(trie_arrays(stock.sids.table(tokenizer).tokens.numpy()[listed]), folder / TRIE)


def write_prompt(model: LoadedRun, folder: Path, between: list[str] | None) -> dict[str, Any]:
    """Write and return how a history becomes token ids: head, items with the separator between them, tail,
    and `between`, the tokens before an answer without thoughts (None where no tokens are in its place)."""
    prompts, tokenizer = model.recommender.prompts, model.recommender.backbone.tokenizer
    parts = {"head": prompts.head, "separator": prompts.separator, "tail": prompts.tail}
    prompt: dict[str, Any] = {name: ids.tolist() for name, ids in parts.items()}
    prompt["between"] = None if between is None else tokenizer.convert_tokens_to_ids(between)
    prompt |= {"max_history": prompts.max_history, "levels": int(prompts.tokens.shape[1])}
    write_json(folder / PROMPT, prompt)
    return prompt
