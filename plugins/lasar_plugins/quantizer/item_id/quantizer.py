"""One token an item, alone or behind semantic levels."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.values import Env
from lasar_plugins.quantizer.item_id.config import HybridConfig, ItemIdConfig

BY_PLACE = {"items_are_encoded_by_themselves": "an item's own code is its place in the catalogue"}
"""The law of quantizers that codes of the item's own break."""


class ItemId:
    """Item i has the one code i. `decode` gives what `fit` saw, so nothing is lost."""

    contract_exceptions = BY_PLACE

    def __init__(self, config: ItemIdConfig, env: Env) -> None:
        self.sizes: tuple[int, ...] = (len(env.item_ids),)
        self.codebook: Float[Tensor, "I E"] = torch.zeros(len(env.item_ids), 0)

    def fit(self, items: Float[Tensor, "I E"]) -> None:
        """Keep the catalogue's vectors, in catalogue order."""
        self.codebook = items.detach().float().cpu()

    def encode(self, items: Float[Tensor, "I E"]) -> Int[Tensor, "I 1"]:
        """The place of each item; `items` must be the catalogue's, in catalogue order."""
        assert len(items) == self.sizes[0], f"{len(items)} items of a catalogue of {self.sizes[0]}"
        return torch.arange(len(items), device=items.device)[:, None]

    def decode(self, codes: Int[Tensor, "I m"]) -> Float[Tensor, "I E"]:
        """The items' own vectors."""
        return self.codebook.to(codes.device)[codes[:, 0]]

    def state_dict(self) -> dict[str, Tensor]:
        """The vectors."""
        return {"codebook": self.codebook}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        self.codebook = state["codebook"]
        self.sizes = (len(self.codebook),)


class Hybrid:
    """The codes of another quantizer, then the item's own: no two items share a SID."""

    contract_exceptions = BY_PLACE

    def __init__(self, config: HybridConfig, env: Env) -> None:
        assert env.build is not None
        self.semantic: Any = env.build("quantizer", config.semantic, env)
        self.count = len(env.item_ids)
        self.residual: Float[Tensor, "I E"] = torch.zeros(self.count, 0)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those of the semantic levels, and one code an item."""
        return (*self.semantic.sizes, self.count)

    def fit(self, items: Float[Tensor, "I E"]) -> None:
        """Learn the semantic levels; what they leave over is the item's own."""
        self.semantic.fit(items)
        left = items - self.semantic.decode(self.semantic.encode(items))
        self.residual = left.detach().float().cpu()

    def encode(self, items: Float[Tensor, "I E"]) -> Int[Tensor, "I M"]:
        """The semantic codes and the place of each item, in catalogue order."""
        assert len(items) == self.count, f"{len(items)} items of a catalogue of {self.count}"
        own = torch.arange(len(items), device=items.device)[:, None]
        return torch.cat([self.semantic.encode(items), own], dim=1)

    def decode(self, codes: Int[Tensor, "I m"]) -> Float[Tensor, "I E"]:
        """Of the semantic levels what their quantizer gives; with the last one the items' own vectors."""
        levels = len(self.semantic.sizes)
        rough: Tensor = self.semantic.decode(codes[:, :levels])
        if codes.shape[1] <= levels:
            return rough
        return rough + self.residual.to(rough.device)[codes[:, -1]]

    def state_dict(self) -> dict[str, Tensor]:
        """The semantic levels' state and what they leave over."""
        inner = {f"semantic.{name}": value for name, value in self.semantic.state_dict().items()}
        return {**inner, "residual": self.residual}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        prefix = "semantic."
        inner = {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        self.semantic.load_state_dict(inner)
        self.residual = state["residual"]
        self.count = len(self.residual)
