"""Reading of `index.json`, the form in which LC-Rec and its successors publish semantic IDs, or of ids that
are themselves semantic IDs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from lasar_kit.core.sources import text_files
from lasar_kit.errors import UserError

_TOKEN = re.compile(r"<([a-z])_(0|[1-9][0-9]{0,8})>")
_BETWEEN = re.compile(r"(?<=>)(?=<)")
_SHOWN = 5
"""Mistakes of one kind that are shown one by one."""


def read_index(path: Path, item_ids: tuple[str, ...]) -> tuple[list[list[int]], int]:
    """Codes of each item, in the order of `item_ids`, all of one length; `UserError` on anything else.

    Entries of items that the catalogue lacks are passed over, since it may be but the core of a larger one;
    the second result is their number.
    """
    entries = _entries(path)
    mistakes = _shown(path, [f"no entry for item {raw!r}" for raw in item_ids if raw not in entries])
    codes = _read(path, {raw: entries[raw] for raw in item_ids if raw in entries}, mistakes)
    return [codes[raw] for raw in item_ids], len(entries.keys() - set(item_ids))


def read_ids(item_ids: tuple[str, ...]) -> list[list[int]]:
    """Codes of items whose raw ids are semantic IDs, such as `<a_114><b_32>`; `UserError` otherwise."""
    codes = _read(
        "item ids (quantizer from_index without a path)",
        dict(zip(item_ids, map(_BETWEEN.split, item_ids), strict=True)),
        [],
    )
    return [codes[raw] for raw in item_ids]


def _read(where: Path | str, entries: dict[str, Any], mistakes: list[str]) -> dict[str, list[int]]:
    """Codes of each entry; `UserError` with all mistakes, those given first."""
    codes, malformed = {}, []
    for raw, tokens in entries.items():
        try:
            codes[raw] = _codes(tokens)
        except ValueError as error:
            malformed.append(f"item {raw!r}: {error}")
    mistakes += _shown(where, malformed)
    if codes:
        first, length = next((raw, len(row)) for raw, row in codes.items())
        mistakes += _shown(
            where,
            [
                f"item {raw!r} has {len(row)} levels, but {first!r} has {length}"
                for raw, row in codes.items()
                if len(row) != length
            ],
        )
    if mistakes:
        raise UserError(*mistakes)
    return codes


def _entries(path: Path) -> dict[str, Any]:
    """The file's one object."""
    entries = text_files.read_json(path)
    if not isinstance(entries, dict):
        raise UserError(
            f'{path}: expected {{"raw item id": ["<a_0>", …], …}}, got a {type(entries).__name__}'
        )
    return entries


def _codes(tokens: Any) -> list[int]:
    """`["<a_114>", "<b_32>"]` as `[114, 32]`; level m must carry the m-th letter."""
    if not isinstance(tokens, list) or not tokens:
        raise ValueError(f"expected a list of tokens such as '<a_0>', got {json.dumps(tokens)[:40]}")
    codes = []
    for level, token in enumerate(tokens):
        match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
        if level >= len(ascii_lowercase):
            raise ValueError(f"more than {len(ascii_lowercase)} levels")
        if match is None or match[1] != ascii_lowercase[level]:
            raise ValueError(
                f"level {level + 1}: expected a token such as '<{ascii_lowercase[level]}_0>', "
                f"got {json.dumps(token)[:40]}"
            )
        codes.append(int(match[2]))
    return codes


def _shown(path: Path | str, mistakes: list[str]) -> list[str]:
    """The first few mistakes of a kind, and how many more there are."""
    lines = [f"{path}: {mistake}" for mistake in mistakes[:_SHOWN]]
    if len(mistakes) > _SHOWN:
        lines.append(f"{path}: and {len(mistakes) - _SHOWN} more like the last")
    return lines
