"""Semantic IDs that somebody else assigned, with codebooks estimated from them."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.residual import reconstruction
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.quantizer.from_index.config import FromIndexConfig
from lasar_plugins.quantizer.from_index.index_file import read_ids, read_index

_MOST_CODES = 1 << 16
"""Codes a level that an index may have, or as many as it has items: each is a token of the model."""


class FromIndex:
    """Codes from a file or from the items' own ids.

    `fit` takes each code's centroid to be the mean residual of its items. The centroids serve `decode` alone,
    for collision rules and the report, to which `remarks` are added. A code that no item has keeps a zero
    centroid.
    """

    contract_exceptions: ClassVar[dict[str, str]] = {
        "items_are_encoded_by_themselves": "its codes are those of the whole catalogue, in its order"
    }

    def __init__(self, config: FromIndexConfig, env: Env) -> None:
        rows, passed_over = (
            read_index(config.path, env.item_ids) if config.path else (read_ids(env.item_ids), 0)
        )
        self.remarks = {"entries_passed_over": passed_over} if config.path else {}
        self.codes: Int[Tensor, "I M"] = torch.tensor(rows, dtype=torch.int64)
        if not rows:
            raise UserError(f"{config.path or 'item ids'}: holds no items")
        largest = [int(code) for code in self.codes.amax(dim=0)]
        self._check_codes(config, env.item_ids, max(largest))
        self.sizes = tuple(config.codes or code + 1 for code in largest)
        self.codebooks: list[Float[Tensor, "K E"]] = []

    def _check_codes(self, config: FromIndexConfig, item_ids: tuple[str, ...], largest: int) -> None:
        """Refuse a code that `codes` does not reach, or that no index of so many items can mean."""
        most = config.codes or max(_MOST_CODES, len(item_ids))
        if largest < most:
            return
        item, level = (self.codes >= most).nonzero()[0].tolist()
        why = f"codes is {most}" if config.codes else f"a level has at most {most:,} codes here"
        raise UserError(
            f"{config.path or 'item ids'}: item {item_ids[item]!r} has code {int(self.codes[item, level])} "
            f"at level {level + 1}, but {why}, so the last is {most - 1}"
        )

    def fit(self, items: Float[Tensor, "I E"]) -> None:
        """Estimate the codebooks, level by level, from the catalogue's embeddings in catalogue order."""
        self._check_catalogue(items)
        residual = items.detach().double().cpu()
        codebooks = []
        for level, size in enumerate(self.sizes):
            codes = self.codes[:, level]
            totals = torch.zeros(size, items.shape[1], dtype=torch.float64).index_add(0, codes, residual)
            means = totals / torch.bincount(codes, minlength=size).clamp(min=1)[:, None]
            residual = residual - means[codes]
            codebooks.append(means.float())
        self.codebooks = codebooks

    def encode(self, items: Float[Tensor, "I E"]) -> Int[Tensor, "I M"]:
        """The codes as read; `items` must be the catalogue's, in catalogue order."""
        self._check_catalogue(items)
        return self.codes.to(items.device)

    def decode(self, codes: Int[Tensor, "I m"]) -> Float[Tensor, "I E"]:
        """The sum of the mean residuals of the first m levels."""
        return reconstruction(self.codebooks, codes)

    def state_dict(self) -> dict[str, Tensor]:
        """Codebooks and codes."""
        return {f"codebook.{level}": book for level, book in enumerate(self.codebooks)} | {
            "codes": self.codes
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        self.codes = state["codes"]
        self.codebooks = [state[f"codebook.{level}"] for level in range(self.codes.shape[1])]
        self.sizes = tuple(len(book) for book in self.codebooks)

    def _check_catalogue(self, items: Float[Tensor, "I E"]) -> None:
        assert len(items) == len(self.codes), f"{len(items)} items, but the index has {len(self.codes)}"
