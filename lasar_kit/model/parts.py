"""The options that a recommender is put together from, and the weights of its parts beside the backbone's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lasar_kit.errors import UserError
from lasar_kit.spec.lineage import foreign_weights
from lasar_kit.store.artifacts import read_json, write_json

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import (
        BackboneConfig,
        ComponentConfig,
        DecoderConfig,
        DepthPolicyConfig,
        LatentLoopConfig,
    )

PARTS = "recommender.json"
DECODER = "decoder"
"""The decoder, which may hold weights too, but is no part of a checkpoint."""

BESIDE = "learnt_beside"
"""What a file of a decoder's weights tells with them: `DecoderConfig.learnt_beside`, as JSON."""

TRAINED = ("latent_loop", "depth_policy")
"""Components besides the backbone that may hold weights of their own."""


@dataclass(frozen=True)
class Parts:
    """The configs that a recommender is built from; they travel with its checkpoint."""

    backbone: BackboneConfig
    prompt: ComponentConfig
    latent_loop: LatentLoopConfig
    depth_policy: DepthPolicyConfig
    max_history: int

    def save(self, folder: Path) -> None:
        """Write them as JSON."""
        values = {name: getattr(self, name) for name in ("backbone", "prompt", *TRAINED)}
        dumped = {name: config.model_dump(mode="json") for name, config in values.items()}
        write_json(folder / PARTS, {**dumped, "max_history": self.max_history})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> Parts:
        """Read what `save` wrote, validated by the catalogue."""
        stored: Mapping[str, Any] = read_json(folder / PARTS)
        context = {"catalogue": catalogue}
        configs: dict[str, Any] = {
            kind: catalogue.config_class(kind, stored[kind]["use"]).model_validate(
                stored[kind], context=context
            )
            for kind in ("backbone", "prompt", *TRAINED)
        }
        return cls(**configs, max_history=stored["max_history"])


def restore(part: nn.Module, state: Mapping[str, Tensor], name: str, parts: Parts, checkpoint: Path) -> None:
    """Give a component the weights of a checkpoint, or `Misfit` with the options that do not fit them."""
    mine = {key: value.shape for key, value in part.state_dict().items()}
    if mine == {key: value.shape for key, value in state.items()}:
        part.load_state_dict(state)
        return
    now: dict[str, Any] = getattr(parts, name).model_dump(mode="json")
    then: Mapping[str, Any] = read_json(checkpoint / PARTS)[name]
    differing = [
        f"{key} {now.get(key)!r} instead of {then.get(key)!r}"
        for key in {**then, **now}
        if now.get(key) != then.get(key)
    ]
    raise Misfit(
        f"{name}: the checkpoint's weights do not fit {', '.join(differing) or now['use']}; leave this as it "
        "was in the stage before, or set 'fresh: true' to begin anew"
    )


def save_decoder(decoder: nn.Module, config: DecoderConfig | None, folder: Path) -> None:
    """Write a decoder's weights, if it has any, and, if that is known, beside what they were learnt."""
    if state := decoder.state_dict():
        # One entry: safetensors writes several in any order.
        beside = {BESIDE: json.dumps(config.learnt_beside, sort_keys=True)} if config else None
        weights = {key: value.contiguous() for key, value in state.items()}
        save_file(weights, folder / f"{DECODER}.safetensors", beside)


def restore_decoder(decoder: nn.Module, config: DecoderConfig, checkpoint: Path | None) -> None:
    """Give a decoder the weights of a checkpoint, if there are such: a model may be asked by another decoder
    than it was trained with. `Misfit` where they fit, but were learnt beside other options."""
    stored = checkpoint / f"{DECODER}.safetensors" if checkpoint else None
    if stored is None or not stored.is_file():
        return
    state = load_file(stored)
    if {key: value.shape for key, value in decoder.state_dict().items()} != {
        key: value.shape for key, value in state.items()
    }:
        return
    with safe_open(stored, "pt") as file:
        beside = (file.metadata() or {}).get(BESIDE)  # none where that was not known
    if beside is not None and (why := foreign_weights(config, json.loads(beside))):
        raise Misfit(f"decoder: {why}")
    decoder.load_state_dict(state)


class Misfit(UserError):
    """A component's options do not fit the weights that it is to go on with."""
