"""Who reads segments: the model that will think, or another, whose states are fitted to its width."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

from lasar_kit.data.stage_context import StageContext
from lasar_kit.model.precision import autocast
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.anchors.config import AnchorsConfig
from lasar_kit.stages.anchors.segment_states import Chain, read_chains

FIT = "projection.safetensors"
"""The fitted projection, beside the states of a store that is being filled."""


class Projection:
    """Fits states of one width to another, and to the size that a final norm gives.

    Centred, reduced to their principal components and turned at random: language models' states share a
    large common part, and a softmax over coordinates (`bikl`) would see little but the first component. The
    mean square of a coordinate is 1 over the states that it was fitted on, and distances keep their ratios.
    """

    def __init__(self, mean: Float[np.ndarray, " W"], matrix: Float[np.ndarray, "W D"]) -> None:
        self.mean, self.matrix = mean, matrix

    @classmethod
    def fit(cls, states: Float[np.ndarray, "n W"], width: int, seed: int) -> Projection:
        """Fit it to some states; the same seed gives the same turn."""
        mean = states.mean(0, dtype=np.float64)
        _, spread, components = np.linalg.svd(states - mean, full_matrices=False)
        spread, components = spread[:width], components[:width]
        turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, len(components))))
        size = float(np.sqrt(np.square(spread).sum() / (len(states) * width)))
        return cls(mean, components.T @ turn.T / (size or 1.0))

    def __call__(self, states: Float[np.ndarray, "n W"]) -> Float[np.ndarray, "n D"]:
        projected: Float[np.ndarray, "n D"] = (states - self.mean) @ self.matrix
        return projected.astype(np.float32)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        partial = path.with_name(f".{path.name}.partial")
        save_file({"mean": self.mean, "matrix": self.matrix}, partial)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Projection:
        """Read what `save` wrote."""
        stored = load_file(path)
        return cls(stored["mean"], stored["matrix"])


class Reader:
    """Reads segments with the model of the checkpoint, or with the backbone that `reader` names."""

    def __init__(self, context: StageContext, config: AnchorsConfig) -> None:
        env = context.env(device=str(PartialState().device))
        own = Recommender.load(
            context.inputs["checkpoint"], context.catalogue, context.spec.decoder, context.sids(), env
        ).eval()
        self.device, self.width, self.prompts = own.device, own.backbone.hidden_size, own.prompts
        self.backbone: Any = own.backbone
        self.config, self.seed, self.screen = config, env.seed, context.screen
        self.file = None
        if config.reader is not None:
            self.backbone = context.catalogue.build("backbone", config.reader, env).to(own.device).eval()
            self.file = context.work / FIT

    def states(self, chains: list[Chain]) -> Float[np.ndarray, "segments W"]:
        """Return the states of some chains, their reads laid end to end; all processes take part."""
        places = self._places(chains)
        _, firsts = np.unique(places, return_index=True)
        with autocast(self.device, self.config.precision):
            distinct = [chains[first] for first in firsts]
            found = dict(read_chains(self.backbone, distinct, self.config.batch_tokens, self.device))
        return np.concatenate([found[place] for place in places])

    def _places(self, chains: list[Chain]) -> Sequence[int]:
        """Number the distinct chains in their order; a teacher's phrases recur, and another reader is slow.

        The model itself is quick, and in other batches its states would have other last bits.
        """
        if self.file is None:
            return range(len(chains))
        alike: dict[tuple[bytes, bytes], int] = {}
        return [alike.setdefault((ids.tobytes(), at.tobytes()), len(alike)) for ids, at in chains]

    def fitted(self, states: Float[np.ndarray, "segments W"]) -> Float[np.ndarray, "segments D"]:
        """Return states of the width of the model that will think.

        Those of another reader are projected, as the first block of segments has it that was read.
        """
        if self.file is None:
            return states
        if not self.file.is_file():
            if caution := few(len(states), states.shape[1], self.width):
                self.screen.print(f"[yellow]warning: {caution}[/yellow]")
            Projection.fit(states, self.width, self.seed).save(self.file)
        return Projection.load(self.file)(states)


def few(segments: int, reader: int, model: int) -> str:
    """Warn where centred states of so many segments span less than the narrower of the two widths."""
    width = min(reader, model)
    if segments > width:
        return ""
    return (
        f"a reader's states are fitted on the first prompts' segments, here {segments:,}, which span at most "
        f"{segments - 1:,} of {width:,} directions; the rest of later states is lost. Raise max_segments, or "
        "have the teacher write about more prompts"
    )
