"""Segments of a teacher's reasoning beside thoughts: the nearest that a run stored, and a prompt's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.dataset import Dataset
from lasar_kit.core.interfaces import Aligner
from lasar_kit.core.values import Anchors, Context, Env, LatentTrace
from lasar_kit.data.anchor_store import TEXTS, AnchorStore
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender
from lasar_kit.spec import AlignerConfig
from lasar_kit.train.alignment import Head, frozen_head

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec.load import LoadedSpec
    from lasar_kit.spec.plan import PlannedStage

MOST = 20_000
"""Segments that thoughts are compared with; of more, as many are taken evenly."""

CELLS = 1 << 24
"""Numbers that one comparison may hold."""


@dataclass(frozen=True)
class Near:
    """A segment of a teacher's text, and its distance from a thought."""

    text: str
    distance: float


class Segments:
    """The anchors that a run's model was held to, and its aligner as their measure."""

    def __init__(
        self,
        store: AnchorStore,
        texts: dict[tuple[int, int], str],
        cut: Callable[[str], list[str]],
        aligner: Aligner,
        measure: str,
        width: int,
    ) -> None:
        self._store, self._texts, self._cut, self._aligner = store, texts, cut, aligner
        self._width = width  # numbers that are compared for each pair
        self.measure = measure
        """Name of the aligner, and of its distance."""

    @classmethod
    def of(
        cls, run: Path, loaded: LoadedSpec, catalogue: Catalogue, dataset: Dataset, recommender: Recommender
    ) -> Segments | None:
        """Those of the last stage that aligned thoughts; None where no stage did."""
        stages = {stage.name: stage for stage in loaded.plan}
        aligned = [stage for stage in loaded.plan if _aligns(stage)]
        stepwise = [stage for stage in aligned if stage.config.use == "sft"] or aligned
        if not stepwise:
            return None
        stage = stepwise[-1]
        anchors = stages[stage.inputs["anchors"]]
        folder = run / "stages" / anchors.name
        env = Env(
            seed=loaded.spec.seed,
            device=str(recommender.device),
            hidden_size=recommender.backbone.hidden_size,
            tokenizer=recommender.backbone.tokenizer,
            table=recommender.prompts.table,
            head=recommender.backbone.logits,
            frozen_head=lambda: _head(run, anchors, catalogue, recommender),
            items=dataset.items,
            train=dataset.train,
        )
        own = stage.config.own_aligner
        assert own is not None, "it aligned thoughts"
        aligner = catalogue.build("aligner", own, env)
        options: Any = anchors.config
        segmenter = catalogue.build("segmenter", options.segmenter, env)
        known = own if isinstance(own, AlignerConfig) else AlignerConfig(use=own.use)
        return cls(
            AnchorStore.open(folder),
            _texts(folder, dataset),
            lambda text: segmenter.segment(text)[: options.max_segments],
            aligner,
            known.measure,
            len(env.tokenizer) if known.reads_by_head else env.hidden_size,
        )

    def nearest(self, thoughts: Float[Tensor, "T D"], count: int) -> list[list[Near]]:
        """The nearest segments of each thought, texts that are equal once."""
        total = len(self._store.states)
        rows = np.unique(np.linspace(0, total - 1, min(total, MOST)).astype(np.int64)) if total else None
        if rows is None or not len(thoughts):
            return [[] for _ in thoughts]
        distance = self._distances(thoughts, rows)
        nearest: list[list[Near]] = []
        for values in distance:
            near: dict[str, float] = {}
            for place in values.argsort().tolist():
                near.setdefault(self._text(int(rows[place])), float(values[place]))
                if len(near) == count:
                    break
            nearest.append([Near(*pair) for pair in near.items()])
        return nearest

    def own(self, thoughts: Float[Tensor, "T D"], place: tuple[int, int] | None) -> list[Near | None]:
        """Each thought's own segment: thought t's is the t-th of the text about its prompt. None past the
        end, and where there is no text about it."""
        rows = self._rows(place) if place is not None else np.zeros(0, dtype=np.int64)
        pairs = min(len(rows), len(thoughts))
        distance = self._distances(thoughts[:pairs], rows[:pairs]) if pairs else None
        if distance is None:
            return [None] * len(thoughts)
        near = [Near(self._text(int(rows[t])), float(distance[t, t])) for t in range(pairs)]
        return [*near, *[None] * (len(thoughts) - pairs)]

    def _distances(self, thoughts: Float[Tensor, "T D"], rows: Int[np.ndarray, " s"]) -> Float[Tensor, "T s"]:
        """The aligner's loss of each thought alone with each segment alone."""
        chunk = max(1, CELLS // (len(thoughts) * self._width))
        parts = [
            self._pairs(thoughts, torch.from_numpy(self._store.states[rows[start : start + chunk]]))
            for start in range(0, len(rows), chunk)
        ]
        return torch.cat(parts, dim=1).cpu()

    @torch.inference_mode()
    def _pairs(self, thoughts: Float[Tensor, "T D"], anchors: Float[Tensor, "s D"]) -> Float[Tensor, "T s"]:
        states = thoughts[:, None, None].expand(-1, len(anchors), -1, -1)
        one = torch.ones(states.shape[:3], dtype=torch.bool, device=thoughts.device)
        last, tip = states[:, :, 0], torch.zeros(states.shape[:2], dtype=torch.long, device=thoughts.device)
        near = anchors.to(thoughts)[None, :, None].expand_as(states)
        trace = LatentTrace(states, one, last, tip, Context())
        return self._aligner.loss(trace, Anchors(near, one))

    def _rows(self, place: tuple[int, int]) -> Int[np.ndarray, " s"]:
        keys = self._store.keys
        at = int(np.searchsorted(keys, place[0] << 32 | place[1]))
        if at == len(keys) or keys[at] != place[0] << 32 | place[1]:
            return np.zeros(0, dtype=np.int64)
        return np.arange(self._store.offsets[at], self._store.offsets[at + 1])

    def _text(self, row: int) -> str:
        at = int(np.searchsorted(self._store.offsets, row, side="right")) - 1
        key = int(self._store.keys[at])
        text = self._texts.get((key >> 32, key & 0xFFFFFFFF), "")
        pieces = self._cut(text)
        place = row - int(self._store.offsets[at])
        return pieces[place] if place < len(pieces) else text


def place_of(history: Int[np.ndarray, " H"], dataset: Dataset, shown: int) -> tuple[int, int] | None:
    """The first training prompt that shows the same items: its user's row, and the place of what followed."""
    end, train = history[-shown:].tolist(), dataset.train
    if not end:
        return None
    for at in np.flatnonzero(train.items == end[-1]).tolist():
        user = int(np.searchsorted(train.offsets, at, side="right")) - 1
        row, stop = train[user], at + 1 - int(train.offsets[user])
        if stop < len(row) and row[max(0, stop - shown) : stop].tolist() == end:
            return user, stop
    return None


def _aligns(stage: PlannedStage) -> bool:
    aligner = stage.config.own_aligner
    return "anchors" in stage.inputs and aligner is not None and aligner.use != "none"


def _head(run: Path, anchors: PlannedStage, catalogue: Catalogue, recommender: Recommender) -> Head:
    """The head of the checkpoint that read the anchors."""
    name = anchors.inputs.get("checkpoint")
    if name is None:
        return frozen_head(recommender.backbone)
    folder, device = run / "stages" / name, str(recommender.device)
    config = Parts.load(folder, catalogue).backbone
    backbone = catalogue.build("backbone", config, Env(device=device, checkpoint=folder))
    return frozen_head(backbone.to(device).eval())


def _texts(folder: Path, dataset: Dataset) -> dict[tuple[int, int], str]:
    row = {user: place for place, user in enumerate(dataset.users)}
    with (folder / TEXTS).open(encoding="utf-8") as file:
        lines: Sequence[dict[str, Any]] = [json.loads(line) for line in file]
    return {(row[line["user"]], line["end"]): line["text"] for line in lines}
