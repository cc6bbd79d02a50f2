"""Specs that hold, between them, every pair of values which `check` lets stand together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from bad_input.harness import spec_file
from pydantic import ValidationError

from combined.values import LINES, Value, Values
from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.spec import lineage
from lasar_kit.spec.load import load_spec
from lasar_kit.spec.plan import plan
from lasar_kit.spec.run_spec import RunSpec

Pair = frozenset[Value]
TRIES = 6
"""Specs that a pair is tried in before it counts as refused."""

SELDOM = 0.15
"""How often what is there or not is there, beside what it was put together for."""


@dataclass
class Checker:
    """What `lasar-kit check` says to a spec."""

    folder: Path
    catalogue: Catalogue = field(default_factory=Catalogue.discover)

    def accepts(self, spec: Mapping[str, Any]) -> bool:
        """Whether it is accepted; the way there is shorter than through a file."""
        try:
            run = RunSpec.model_validate({"name": "s", **spec}, context={"catalogue": self.catalogue})
            lineage.check(run, plan(run), lambda key: "")
        except (ValidationError, UserError):
            return False
        return True

    def lines(self, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """The lines that refuse it; none where it is accepted."""
        path = self.folder / "s.yaml"
        path.write_bytes(spec_file(dict(spec)))
        try:
            load_spec(path, (), self.catalogue)
        except UserError as error:
            return error.lines
        return ()


@dataclass(frozen=True)
class Combination:
    """Values that `check` accepts together, those of components with options of their own, and the stages."""

    chosen: Mapping[Value, Mapping[str, Any]]
    line: tuple[str, ...]

    def pairs(self) -> set[Pair]:
        """The pairs in it."""
        return {frozenset(pair) for pair in itertools.combinations(self.chosen, 2)}


class Cover:
    """Combinations one after the other, each with as many pairs as can be that none before it has.

    `refused` holds the pairs that no tried spec could hold, each with the lines that it was refused with.
    """

    def __init__(self, values: Values, checker: Checker, seed: int) -> None:
        self.values, self.checker, self.random = values, checker, Random(seed)
        places = values.places.values()
        self.pairs = {
            frozenset(pair)
            for one, other in itertools.combinations(places, 2)
            for pair in itertools.product(one, other)
        }
        self.left = set(self.pairs)
        self.refused: dict[Pair, tuple[str, ...]] = {}
        self.known: list[Combination] = []

    def __iter__(self) -> Iterator[Combination]:
        order = sorted(self.pairs, key=lambda pair: sorted(map(str, pair)))
        self.random.shuffle(order)
        for pair in order:
            if pair not in self.left:
                continue
            self.left.discard(pair)
            begun = self._begin(pair)
            if begun is None:
                continue
            grown = self._grown(begun)
            self.known.append(grown)
            self.left -= grown.pairs()
            yield grown

    def _accepts(self, one: Combination) -> bool:
        spec = self.values.spec(one.chosen, one.line)
        return not self.values.told_by_data(spec) and self.checker.accepts(spec)

    def _begin(self, pair: Pair) -> Combination | None:
        """An accepted combination with this pair: of nothing else, or of what one of the two stood in."""
        own = {value: self.values.drawn(value, self.random) for value in sorted(pair, key=str)}
        plain: dict[Value, dict[str, Any]] = {value: {} for value in own}
        lines = [line for line in LINES if {v.stage for v in own}.intersection(LINES[0]) <= set(line)]
        tries = [Combination(own, line) for line in (lines[0], lines[-1])]
        tries += [Combination(plain, line) for line in (lines[0], lines[-1])]
        near = [known for known in self.known if pair & known.chosen.keys()]
        for known in self.random.sample(near, min(TRIES, len(near))):
            places = {value.place for value in own}
            kept = {value: o for value, o in known.chosen.items() if value.place not in places}
            kept |= {value: known.chosen.get(value, {}) for value in own}
            line = next(
                line
                for line in LINES
                if set(line) >= {*known.line, *(v.stage for v in own if v.stage in LINES[0])}
            )
            tries.append(Combination(kept, line))
        for one in tries:
            if self._accepts(one):
                return one
        alone = Combination(plain, lines[-1])
        self.refused[pair] = self.checker.lines(self.values.spec(alone.chosen, alone.line))
        return None

    def _grown(self, begun: Combination) -> Combination:
        """With a value at every other place where one is accepted."""
        places = {value.place for value in begun.chosen}
        free = [
            place
            for place, known in self.values.places.items()
            if place not in places
            and self._open(place, begun.line)
            and (len(known) > 1 or self.random.random() < SELDOM)
        ]
        self.random.shuffle(free)
        wanted = []
        chosen = dict(begun.chosen)
        for place in free:
            best = max(self.values.places[place], key=lambda v: (self._gain(v, chosen), self.random.random()))
            chosen[best] = self.values.drawn(best, self.random)
            wanted.append(best)
        return self._added(begun, [(value, chosen[value]) for value in wanted])

    def _gain(self, value: Value, chosen: Mapping[Value, Any]) -> int:
        return sum(frozenset((value, other)) in self.left for other in chosen)

    def _open(self, place: tuple[str | int, ...], line: Sequence[str]) -> bool:
        return place[0] != "stages" or place[1] not in LINES[0] or place[1] in line

    def _added(self, base: Combination, more: list[tuple[Value, dict[str, Any]]]) -> Combination:
        """The base with as many of these as are accepted together, found by halves."""
        whole = Combination({**base.chosen, **dict(more)}, base.line)
        if not more or self._accepts(whole):
            return whole
        if len(more) == 1:
            [(value, own)] = more
            bare = Combination({**base.chosen, value: {}}, base.line)
            return bare if own and self._accepts(bare) else base
        half = len(more) // 2
        return self._added(self._added(base, more[:half]), more[half:])
