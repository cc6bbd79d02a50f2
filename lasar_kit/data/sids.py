"""Semantic IDs as an artifact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from lasar_kit.core.values import SidTable
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_token, sid_tokens
from lasar_kit.store.artifacts import read_json, write_json, write_text

COLD = "cold_codes.safetensors"


def save_cold(codes: Int[Tensor, "n M"], folder: Path) -> None:
    """Write the codes of items that were held out of training beside those of the others."""
    save_file({"codes": codes.contiguous()}, folder / COLD)


def load_cold(folder: Path) -> Int[Tensor, "n M"] | None:
    """Read what `save_cold` wrote; None where nothing was."""
    return load_file(folder / COLD)["codes"] if (folder / COLD).is_file() else None


@dataclass(frozen=True)
class Sids:
    """Codes of I items at M levels, of `sizes[m]` codes each."""

    codes: Int[Tensor, "I M"]
    sizes: tuple[int, ...]

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Tokens a backbone must hold: the SID tokens, level by level, then the latent ones."""
        return (*sid_tokens(self.sizes), *LATENT_TOKENS)

    def table(self, tokenizer: Any) -> SidTable:
        """The catalogue in a tokenizer's ids."""
        ids = torch.tensor(tokenizer.convert_tokens_to_ids(sid_tokens(self.sizes)))
        start = torch.tensor([0, *self.sizes[:-1]]).cumsum(0)
        return SidTable(ids[self.codes + start])

    def save(self, folder: Path, item_ids: tuple[str, ...]) -> None:
        """Write `codes.safetensors`, `sizes.json`, and `index.json` (raw id to tokens) for other tools."""
        save_file({"codes": self.codes.contiguous()}, folder / "codes.safetensors")
        write_json(folder / "sizes.json", list(self.sizes))
        write_text(folder / "index.json", "".join(self._index(item_ids)))

    def _index(self, item_ids: tuple[str, ...]) -> Iterator[str]:
        """Yield what `write_json` would write, an item at a time: of a million items it would hold all tokens
        as texts of their own."""
        names = [
            [json.dumps(sid_token(level, code)) for code in range(size)]
            for level, size in enumerate(self.sizes)
        ]
        before = "{\n"
        for item, codes in zip(item_ids, self.codes.tolist(), strict=True):
            tokens = ",\n    ".join(own[code] for own, code in zip(names, codes, strict=True))
            yield f"{before}  {json.dumps(item, ensure_ascii=False)}: [\n    {tokens}\n  ]"
            before = ",\n"
        yield "\n}\n" if item_ids else "{}\n"

    @classmethod
    def load(cls, folder: Path) -> Sids:
        """Read what `save` wrote."""
        codes = load_file(folder / "codes.safetensors")["codes"]
        return cls(codes, tuple(read_json(folder / "sizes.json")))
