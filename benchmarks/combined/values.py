"""The places of a run where a component or a choice stands, and what may stand there, by the catalogue."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bad_input.options import Option, Options, choices

from combined.workshop import Workshop
from lasar_kit.kinds import KINDS

Key = tuple[str | int, ...]

_SHARED = {"batch_size": 32, "eval_users": 5, "eval_width": 10, "log_every": 1, "checkpoint_every": 0}
BASE: dict[str, Any] = {
    "max_history": 4,
    "prompt": {"use": "sid_only"},
    "stages": {
        "tokenize": {"use": "tokenize"},
        "ground": {"use": "sft", "epochs": 0.5, **_SHARED},
        "anchors": {"use": "anchors", "max_segments": 3},
        "reason": {"use": "sft", "epochs": 0.8, **_SHARED},
        "rl": {"use": "rl", "max_samples": 8, "candidates": 4, **_SHARED, "batch_size": 4},
        "evaluate": {"use": "evaluate", "max_users": 8},
    },
}
"""A run of all stages, seconds long."""

USUAL: dict[Key, tuple[str, str]] = {
    ("dataset",): ("dataset", "demo"),
    ("backbone",): ("backbone", "qwen3"),
    ("decoder",): ("decoder", "trie_beam"),
    ("stages", "tokenize", "quantizer"): ("quantizer", "rq_kmeans"),
    ("stages", "reason", "latent_loop"): ("latent_loop", "coconut"),
    ("stages", "reason", "depth_policy"): ("depth_policy", "mlp"),
}
"""Components that stand there where no others are chosen."""

LINES = (
    ("anchors", "reason", "rl"),
    ("anchors", "reason"),
    ("reason", "rl"),
    ("reason",),
    ("rl",),
    (),
)
"""Which of these stages a run has beside the others."""

STAGES = {"tokenize": "tokenize", "anchors": "anchors", "sft": "reason", "rl": "rl", "evaluate": "evaluate"}
"""The stage of the run in which the options of a component of kind `stage` are tried."""

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "layers": 1,
    "heads": 2,
    "head_dim": 8,
    "intermediate_size": 16,
    "state_size": 12,
    "text_vocabulary": 300,
    "levels": 3,
    "codes": 32,
    "epochs": 4,
    "n_max": 3,
    "depth": 2,
    "k": 2,
    "dimensions": 12,
    "negatives": 4,
    "copies": 2,
}
"""Sizes, for whatever component has an option of such a name."""

SIZES: dict[Key, tuple[Any, ...]] = {
    ("max_history",): (1, 9),
    ("decoder", "width"): (1, 100),
    ("stages", "tokenize", "quantizer", "levels"): (2, 4),
    ("stages", "reason", "gradient_accumulation"): (3,),
    ("stages", "reason", "item_drop"): (0.5,),
    ("stages", "reason", "pack_items"): (3,),
    ("stages", "reason", "depth_policy", "n_max"): (1,),
    ("stages", "reason", "align_weight"): (0,),
    ("stages", "reason", "policy_weight"): (0,),
    ("stages", "anchors", "question"): ("\nID: ",),
    ("stages", "rl", "gradient_accumulation"): (3,),
    ("stages", "rl", "updates_per_rollout"): (2,),
    ("stages", "rl", "refill"): (1,),
    ("stages", "rl", "depth_lr"): (0.001,),
    ("stages", "evaluate", "depth"): (1,),
    ("stages", "evaluate", "cold"): (0.2,),
}
"""Numbers that change shapes or ways, tried beside components and choices."""

LEFT_OUT = ("inductor", "aot_eager")
"""Choices that are not tried: they compile for a minute."""


@dataclass(frozen=True)
class Value:
    """Something to stand at a place: a component by its name, or a choice."""

    place: Key
    name: str
    kind: str | None = None
    plain: Any = None

    @property
    def stage(self) -> str | None:
        """The stage that a run must have for this."""
        return str(self.place[1]) if self.place[0] == "stages" else None

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.place))}={self.name}"


Chosen = Mapping[Value, Mapping[str, Any]]
"""What was chosen, each with options of its own, by dotted key."""


@dataclass(frozen=True)
class Values:
    """All values of all places, and how a spec is made of some of them."""

    options: Options
    workshop: Workshop
    places: dict[Key, list[Value]] = field(default_factory=dict)

    @classmethod
    def discover(cls, workshop: Workshop) -> Values:
        """By the schema of all components that there are."""
        found = cls(Options.discover(), workshop)
        for option in found.options.found:
            found._take(option)
        for place, sizes in SIZES.items():
            known = found.places.setdefault(place, [])
            known += [Value(place, repr(size), plain=size) for size in sizes]
        return found

    def _take(self, option: Option) -> None:
        """The values of an option of the run or of a stage."""
        kind, _, name = option.component.partition(".")
        if kind == "run":
            owner: Key = ()
        elif kind == "stage" and name in STAGES:
            owner = ("stages", STAGES[name])
        else:
            return
        place, holds = (*owner, *option.key), _kind_of(option.schema)
        if holds == "stage":
            return
        listed = _kind_of(option.schema.get("items", {}))
        if listed:
            place, holds = (*place, 0), listed
        places = [place]
        if place[-2:] in ((0, "objective"), (0, "reward")):
            places.append((*place[:-2], 1, place[-1]))
        for one in places:
            if holds:
                names = self.options.root["$defs"][holds]["oneOf"][0]["enum"]
                values = [Value(one, component, holds) for component in names]
            else:
                values = [Value(one, str(plain), plain=plain) for plain in _plain(self.options, option)]
            if values:
                self.places[one] = values

    def drawn(self, value: Value, random: Random) -> dict[str, Any]:
        """Options of a component, about half of them drawn: names, truth values, components within it."""
        found = {}
        for option in self._of(value.kind, value.name):
            holds = _kind_of(option.schema)
            named = choices(self.options.root, option.schema) if holds else _plain(self.options, option)
            fixed = self.workshop.given.get(f"{value.kind}.{value.name}", {})
            if named and option.key[0] not in fixed and random.random() < 0.5:
                one = random.choice(named)
                found[str(option.key[0])] = self.component(holds, one) if holds else one
        return found

    def component(self, kind: str, name: str, own: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A component, small, with what it must be given, and with options of its own."""
        there = {str(option.key[0]) for option in self._of(kind, name)}
        small = {key: size for key, size in SMALL.items() if key in there}
        return {"use": name, **small, **self.workshop.given.get(f"{kind}.{name}", {}), **(own or {})}

    def _of(self, kind: str | None, name: str) -> list[Option]:
        """The options of a component, but those within one of them."""
        whole = f"{kind}.{name}"
        return [one for one in self.options.found if one.component == whole and len(one.key) == 1]

    def spec(self, chosen: Chosen, line: tuple[str, ...]) -> dict[str, Any]:
        """The spec that has these values, and of the stages that it may do without these."""
        spec = copy.deepcopy(BASE)
        components = {place: self.component(*usual) for place, usual in USUAL.items()}
        plain: dict[Key, Any] = {}
        for value, own in chosen.items():
            if value.kind:
                components[value.place] = self.component(value.kind, value.name, own)
            else:
                plain[value.place] = value.plain
        for place, one in sorted((components | plain).items(), key=lambda pair: (len(pair[0]), str(pair[0]))):
            _put(spec, place, one)
        for stage in LINES[0]:
            if stage not in line:
                del spec["stages"][stage]
        return spec

    def told_by_data(self, spec: Mapping[str, Any]) -> bool:
        """Whether only the data can tell that a component does not go with them: one that names a finished
        run of the usual data, or the teacher of the probe."""
        usual = spec["dataset"]["use"] == "demo" and "cold" not in spec["stages"]["evaluate"]
        probe = spec["dataset"]["use"] == "hops"
        return any(
            ("run" in table and not usual) or (table.get("use") == "hops" and not probe)
            for table in _tables(spec["stages"])
        )


def _tables(tree: Any) -> Iterator[dict[str, Any]]:
    """All tables within one."""
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for part in parts:
        yield from _tables(part)
    if isinstance(tree, dict):
        yield tree


def _put(tree: Any, place: Key, one: Any) -> None:
    """Set a value in tables that are made where they are missing; in lists behind what is there."""
    for part, after in itertools.pairwise((*place, None)):
        empty: Any = [] if isinstance(after, int) else {}
        if isinstance(tree, list):
            tree.append(one if after is None else empty)
            tree = tree[-1]
        elif after is None:
            tree[part] = one
        else:
            tree = tree.setdefault(part, empty)


def _kind_of(schema: Mapping[str, Any]) -> str:
    """The kind of the components that may stand at an option; empty where it holds none."""
    parts = (schema, *schema.get("anyOf", ()))
    kinds = (str(part.get("$ref", "")).removeprefix("#/$defs/") for part in parts)
    return next((kind for kind in kinds if kind in KINDS), "")


def _plain(options: Options, option: Option) -> list[Any]:
    """The names or truth values that an option may be."""
    parts = (option.schema, *option.schema.get("anyOf", ()))
    truths = [True, False] if any(part.get("type") == "boolean" for part in parts) else []
    return [one for one in (*choices(options.root, option.schema), *truths) if one not in LEFT_OUT]
