"""Semantic IDs of items that come after those that a stage `tokenize` gave theirs to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from lasar_kit.core.capabilities import EmbedsLater, embedder
from lasar_kit.core.interfaces import Quantizer
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError, one_line
from lasar_kit.spec import ComponentConfig
from lasar_kit.stages.tokenize.collisions import CollisionRule, choose, under
from lasar_kit.stages.tokenize.config import TokenizeConfig

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue

ENCODER, QUANTIZER = "text_encoder.safetensors", "quantizer.safetensors"
"""What the stage leaves of the fitted components, in its folder."""
_RECENT = 256
"""Semantic IDs that came lately and are not sorted in yet."""
_LEAVES = 1 << 24
"""Semantic IDs below one prefix that are looked at for one that is free."""


class Taken:
    """The semantic IDs that are in use, sorted, so that those below a prefix stand together."""

    def __init__(self, codes: Int[np.ndarray, "I N"]) -> None:
        self.rows = _ascending(codes)
        self.recent: list[tuple[int, ...]] = []

    def below(self, prefix: Sequence[int]) -> Int[np.ndarray, "n N"]:
        """Those that begin so."""
        start, end = 0, len(self.rows)
        for level, code in enumerate(prefix):
            column = self.rows[start:end, level]
            start, end = start + np.searchsorted(column, [code, code + 1])
        recent = [row for row in self.recent if row[: len(prefix)] == tuple(prefix)]
        late = np.array(recent, dtype=self.rows.dtype).reshape(-1, self.rows.shape[1])
        return np.concatenate([self.rows[start:end], late])

    def add(self, rows: Int[np.ndarray, "n N"]) -> None:
        """These are in use from now on."""
        self.recent += map(tuple, rows.tolist())
        if len(self.recent) > _RECENT:  # of which each is looked at one by one
            late = np.array(self.recent, dtype=self.rows.dtype)
            self.rows, self.recent = _ascending(np.concatenate([self.rows, late])), []

    def trial(self) -> Taken:
        """One to which may be added without a change to this one."""
        copy = Taken(self.rows[:0])
        copy.rows, copy.recent = self.rows, [*self.recent]
        return copy


def _ascending(codes: Int[np.ndarray, "I N"]) -> Int[np.ndarray, "I N"]:
    return codes[np.lexsort(codes.T[::-1])]


class Newcomers:
    """Embeds later items, and gives them codes by the quantizer and the collision rule of the catalogue.

    Nothing is fitted and no item that is there moves: where a SID is taken, who comes later gives way.
    """

    def __init__(
        self, encoder: EmbedsLater, quantizer: Quantizer, rule: CollisionRule, sizes: Sequence[int]
    ) -> None:
        self.encoder, self.quantizer, self.rule, self.sizes = encoder, quantizer, rule, tuple(sizes)

    @classmethod
    def load(cls, folder: Path, config: ComponentConfig, sizes: Sequence[int], env: Env) -> Newcomers:
        """From the artifact of a stage with these options; `UserError` where it has no codes for what comes
        later. `env` holds the catalogue and its training part."""
        assert env.catalogue is not None, "a run has one"
        check(config)
        assert isinstance(config, TokenizeConfig), "checked"
        catalogue: Catalogue = env.catalogue
        encoder = embedder(catalogue.build("text_encoder", config.text_encoder, env))
        if encoder is None:
            raise UserError(
                f"text_encoder {config.text_encoder.use}: embeds no item by its fields alone, so none can be "
                "added to this run; tfidf_svd, sentence_transformer and a concat with one of them do"
            )
        if not (folder / ENCODER).is_file():
            raise UserError(
                f"{folder}: holds no fitted text encoder, as an earlier version of lasar-kit wrote none; run "
                "the spec again, from this stage on"
            )
        encoder.load_state_dict(load_file(folder / ENCODER))
        quantizer: Quantizer = catalogue.build("quantizer", config.quantizer, env)
        quantizer.load_state_dict(load_file(folder / QUANTIZER))
        return cls(encoder, quantizer, config.collision, sizes)

    def embed(self, items: pl.DataFrame) -> Float[np.ndarray, "n E"]:
        """Vectors of items, each the same whatever else comes; `UserError` for what cannot be embedded."""
        return self.encoder.embed(items)

    def codes(
        self, ids: Sequence[str], embedded: Float[np.ndarray, "n E"], taken: Taken
    ) -> Int[Tensor, "n N"]:
        """A SID for each item, in their order, beside those that are in use, to which it adds nothing; of two
        newcomers with one SID the first has it.

        `UserError`, a line an item, for those that find none: of an added level all numbers are in use.
        """
        vectors = torch.tensor(embedded)
        raw = self.quantizer.encode(vectors)
        if self.rule == "allow":
            return raw
        found: list[tuple[int, ...]] = []
        full: list[str] = []
        in_use = taken.trial()
        for name, vector, codes in zip(ids, vectors, raw.tolist(), strict=True):
            free = (
                self._numbered(codes, in_use) if self.rule == "suffix" else self._near(vector, codes, in_use)
            )
            if free is None:
                full.append(f"item {one_line(name)!r}: finds no semantic ID: {self._why()}")
            else:
                in_use.recent.append(free)
                found.append(free)
        if full:
            raise UserError(*full)
        return torch.tensor(found, dtype=torch.int64).view(-1, len(self.sizes))

    def _numbered(self, codes: Sequence[int], in_use: Taken) -> tuple[int, ...] | None:
        """The codes and the lowest number of the last level that none of their kind has."""
        numbers = set(in_use.below(codes)[:, -1].tolist())
        free = next((number for number in range(self.sizes[-1]) if number not in numbers), None)
        return None if free is None else (*codes, free)

    def _near(
        self, vector: Float[Tensor, " E"], codes: Sequence[int], in_use: Taken
    ) -> tuple[int, ...] | None:
        """The codes if they are free, else the nearest that are, below the longest prefix that has any."""
        if not len(in_use.below(codes)):
            return tuple(codes)
        for length in reversed(range(len(self.sizes))):
            inner = self.sizes[length:]
            if math.prod(inner) > _LEAVES:
                return None
            free = np.ones(math.prod(inner), dtype=bool)
            free[np.ravel_multi_index(tuple(in_use.below(codes[:length])[:, length:].T), inner)] = False
            if free.any():
                leaves = under(np.array(codes[:length], dtype=np.int64), np.flatnonzero(free), self.sizes)
                return tuple(leaves[int(choose(vector[None], leaves, self.quantizer)[0])].tolist())
        return None

    def _why(self) -> str:
        if self.rule == "suffix":
            return f"all {self.sizes[-1]} numbers of the level that 'collision: suffix' added are taken"
        return "all that are near are taken; give the quantizer more codes or levels"


def check(config: ComponentConfig) -> None:
    """`UserError` where options tell that a stage has no codes for what comes later."""
    if not isinstance(config, TokenizeConfig):
        raise UserError(
            f"stage {config.use}: its semantic IDs are its own, so no item can be added to this run"
        )
    if not config.quantizer.encodes_later:
        raise UserError(
            f"quantizer {config.quantizer.use}: has codes for the items that it was fitted on alone, so none "
            "can be added to this run; rq_kmeans has some for any"
        )
