"""Shows what a model thinks about a history: how long, and what it would answer after each thought."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int
from rich.text import Text

from lasar_kit.errors import UserError, one_line
from lasar_kit.model.thoughts import Stops, stops
from lasar_kit.process.screen import Screen, quiet_libraries
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.serve.segments import Near, Segments, place_of
from lasar_kit.serve.stock import Recommended
from lasar_kit.spec.load import load_spec
from lasar_kit.store.layout import LOCK
from lasar_kit.store.run_folder import reading_run

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue

PREFIXES = 3
"""SID prefixes that are told of a stop, at each level, and segments."""

WIDTH = 160
"""Characters of a segment that are printed; JSON has it whole."""


@dataclass(frozen=True)
class Prefix:
    """The beginning of SIDs, and the probability of answering with one of them."""

    tokens: str
    probability: float


@dataclass(frozen=True)
class Stop:
    """The answer after so many thoughts: the best items, the likeliest prefixes of SIDs at each level (at the
    first all that are likely after any thought), and how much the thought before changed the distribution
    over first tokens (KL, in nats; None before the first).

    `nearest` are segments of a teacher's texts nearest to that thought, `own` the one that it was to become;
    `written` is the text of a loop that writes.
    """

    thoughts: int
    items: list[Recommended]
    prefixes: list[list[Prefix]]
    change: float | None = None
    nearest: list[Near] = field(default_factory=list)
    own: Near | None = None
    written: str | None = None


@dataclass(frozen=True)
class Explained:
    """A history as the model read it; the probability of each number of thoughts, and the number that was
    chosen; a stop after each thought. `measure` tells what distances of segments are by."""

    history: list[str]
    policy: dict[int, float]
    depth: int
    stops: list[Stop]
    measure: str = ""


class Explainer:
    """A finished run whose thoughts can be read; loaded once."""

    def __init__(self, model: LoadedRun, segments: Segments | None) -> None:
        self._model, self._segments = model, segments

    @classmethod
    def load(cls, run: Path, catalogue: Catalogue) -> Explainer:
        """`UserError` as of `LoadedRun.load`."""
        model = LoadedRun.load(run, catalogue)
        loaded = load_spec(run / LOCK, [], catalogue)
        with reading_run(run):
            return cls(model, Segments.of(run, loaded, catalogue, model.dataset, model.recommender))

    def explain(self, history: Sequence[str], k: int = 5, depth: int | None = None) -> Explained:
        """Read the thoughts about a history of raw ids, oldest first, up to `depth`, by default the number
        that the model chooses; `k` items of each stop. `UserError` for unknown ids, and for more thoughts
        than the model's policy could choose."""
        rows, recommender = self._model.rows(history), self._model.recommender
        most = max(recommender.depth_policy.support)
        if depth is not None and depth > most:
            raise UserError(f"--depth {depth}: this model thinks {most} times at most")
        read = stops(recommender, rows, max(k, self._model.width), depth)
        shown = recommender.prompts.max_history
        place = place_of(rows, self._model.dataset, shown) if self._segments else None
        near, own = self._beside(read, place)
        changes = [None, *read.changes()]
        told = [
            Stop(t, self._items(read, t, k), self._prefixes(read, t), changes[t], near[t], own[t],
                 self._words(read, t))
            for t in range(len(read.first))
        ]  # fmt: skip
        measure = self._segments.measure if self._segments else ""
        return Explained([*history], read.policy, read.depth, told, measure)

    def _beside(
        self, read: Stops, place: tuple[int, int] | None
    ) -> tuple[list[list[Near]], list[Near | None]]:
        """Nearest and own segments of each stop, none before the first thought."""
        empty = len(read.first) - len(read.thoughts)
        if self._segments is None:
            return [[] for _ in read.first], [None for _ in read.first]
        near = self._segments.nearest(read.thoughts, PREFIXES)
        own = self._segments.own(read.thoughts, place)
        return [*([[]] * empty), *near], [*([None] * empty), *own]

    def _items(self, read: Stops, t: int, k: int) -> list[Recommended]:
        dataset = self._model.dataset
        ids, titles = dataset.items["id"], dataset.items["title"]
        pairs = zip(read.beams.items[t, 0, :k].tolist(), read.beams.logp[t, 0, :k].tolist(), strict=True)
        return [Recommended(ids[item], titles[item], score) for item, score in pairs if item >= 0]

    def _prefixes(self, read: Stops, t: int) -> list[list[Prefix]]:
        """Of the first level exactly; of those behind it, by the items that were found, which hold nearly all
        probability where the beam is wide."""
        recommender, beams = self._model.recommender, read.beams
        spell = recommender.backbone.tokenizer.convert_ids_to_tokens
        likely = read.first.topk(min(PREFIXES, read.first.shape[1])).indices.flatten().tolist()
        order = sorted(set(likely), key=lambda place: -float(read.first[t, place]))
        pairs = zip(read.tokens[order].tolist(), read.first[t, order].exp().tolist(), strict=True)
        levels = [[Prefix(spell([token])[0], probability) for token, probability in pairs]]
        kept = beams.valid[t, 0]
        tokens: Int[np.ndarray, "w M"] = recommender.prompts.tokens[beams.items[t, 0][kept].cpu().numpy()]
        mass = beams.logp[t, 0][kept].exp().tolist()
        for level in range(2, tokens.shape[1] + 1):
            sums: dict[tuple[int, ...], float] = {}
            for row, probability in zip(tokens[:, :level].tolist(), mass, strict=True):
                sums[tuple(row)] = sums.get(tuple(row), 0.0) + probability
            top = sorted(sums.items(), key=lambda pair: -pair[1])[:PREFIXES]
            levels.append([Prefix("".join(spell(list(ids))), probability) for ids, probability in top])
        return levels

    def _words(self, read: Stops, t: int) -> str | None:
        if read.written is None:
            return None
        return self._model.recommender.texts(read.written[t : t + 1])[0]


def explained(run: Path, histories: Sequence[Sequence[str]], catalogue: Catalogue) -> list[Explained]:
    """The thoughts of a run's model about each history; `UserError` as of `Explainer`."""
    quiet_libraries()
    explainer = Explainer.load(run, catalogue)
    return [explainer.explain(history, 3) for history in histories]


def explain(
    run: Path,
    asked: Sequence[tuple[str, list[str]]],
    k: int,
    catalogue: Catalogue,
    depth: int | None = None,
    as_json: bool = False,
    figure: Path | None = None,
) -> None:
    """Print what the model of a run thinks about each history, or a line of JSON each; draw that of the first
    into `figure` (.svg, .pdf or .png)."""
    if figure is not None:
        from lasar_kit.report.figures.canvas import require

        require()
        if figure.suffix not in (".svg", ".pdf", ".png"):
            raise UserError(f"--figure {figure}: must end in .svg, .pdf or .png")
    quiet_libraries()
    explainer = Explainer.load(run, catalogue)
    told = [explainer.explain(history, k, depth) for _, history in asked]
    if figure is not None:
        from lasar_kit.report.figures.thoughts import save_thoughts

        first = told[0]
        save_thoughts(
            figure,
            first.policy,
            first.depth,
            [{prefix.tokens: prefix.probability for prefix in stop.prefixes[0]} for stop in first.stops],
        )
    screen = Screen()
    for one in told:
        if as_json:
            screen.console.out(json.dumps(asdict(one), ensure_ascii=False))
            continue
        for line in _lines(one):
            screen.console.print(Text(one_line(line)), soft_wrap=True)


def _lines(one: Explained) -> Iterator[str]:
    yield f"history: {', '.join(one.history)}"
    policy = ", ".join(f"{depth} {share:.3f}" for depth, share in one.policy.items())
    yield f"thinks {one.depth} times; probability of each number: {policy}"
    for stop in one.stops:
        change = "" if stop.change is None else f" (the answer changed by {stop.change:.4f} nats)"
        yield f"after {stop.thoughts} thoughts{change}" if stop.thoughts != 1 else f"after 1 thought{change}"
        if stop.written:
            yield f"  wrote     {stop.written}"
        for prefixes in stop.prefixes:
            yield "  prefixes  " + ", ".join(
                f"{one.tokens} {one.probability:.3f}" for one in prefixes[:PREFIXES]
            )
        for rank, item in enumerate(stop.items, start=1):
            yield f"  item {rank:<4} {item.item}  {item.title}  {item.score:.3f}"
        if stop.own is not None:
            yield f"  own       {_told(stop.own)}"
        yield from (f"  near      {_told(near)}" for near in stop.nearest)
    if one.measure and len(one.stops) > 1:
        yield f"own: the segment a thought was to become; near: the nearest segments; by {one.measure}"


def _told(near: Near) -> str:
    return f"{near.distance:.4f}  {shorten(near.text, WIDTH, placeholder=' …')}"
