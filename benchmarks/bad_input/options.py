"""Every option of every component, by the schema that editors read, and a sound spec around it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from lasar_kit.catalogue import Catalogue
from lasar_kit.catalogue.registry import KINDS
from lasar_kit.spec.schema import json_schema

Key = tuple[str | int, ...]

BASE: dict[str, Any] = {
    "dataset": {"use": "demo", "users": 60, "items": 60},
    "backbone": {"use": "qwen3", "hidden_size": 16, "layers": 1, "heads": 2, "text_vocabulary": 300},
    "prompt": {"use": "sid_only"},
    "decoder": {"use": "trie_beam", "width": 20},
    "stages": {
        "tokenize": {"use": "tokenize", "quantizer": {"use": "rq_kmeans", "levels": 3, "codes": 8}},
        "ground": {"use": "sft", "samples": "packed", "epochs": 1},
        "anchors": {"use": "anchors"},
        "reason": {
            "use": "sft",
            "epochs": 0.1,
            "latent_loop": {"use": "coconut"},
            "depth_policy": {"use": "mlp"},
            "aligner": {"use": "stepwise"},
        },
        "rl": {"use": "rl", "epochs": 0.1},
        "evaluate": {"use": "evaluate", "max_users": 10},
    },
}
"""A sound run of all stages, seconds long."""

_PLACES: dict[str, Key] = {
    "text_encoder": ("stages", "tokenize", "text_encoder"),
    "quantizer": ("stages", "tokenize", "quantizer"),
    "latent_loop": ("stages", "reason", "latent_loop"),
    "depth_policy": ("stages", "reason", "depth_policy"),
    "aligner": ("stages", "reason", "aligner"),
    "teacher": ("stages", "anchors", "teacher"),
    "segmenter": ("stages", "anchors", "segmenter"),
    "reward": ("stages", "rl", "rewards", 0, "reward"),
    "sft_objective": ("stages", "reason", "objectives", 0, "objective"),
    "rl_objective": ("stages", "rl", "objectives", 0, "objective"),
    "ranker": ("stages", "evaluate", "beside", 0),
    "hook": ("hooks", 0),
}


@dataclass(frozen=True)
class Option:
    """An option of a component, or of a model nested in its options: its place in a spec, and its schema."""

    component: str
    owner: Key
    key: Key
    schema: dict[str, Any]
    required: bool

    @property
    def place(self) -> Key:
        return (*self.owner, *self.key)


@dataclass(frozen=True, repr=False)
class Options:
    """All options of all components, and the schema that holds them."""

    root: dict[str, Any]
    found: list[Option]

    @classmethod
    def discover(cls) -> Options:
        root, problems = json_schema(Catalogue.discover())
        assert not problems, problems
        found = list(_options(root, "run", (), (), root["else"]))
        for kind in KINDS:
            for name in root["$defs"][kind]["oneOf"][0]["enum"]:
                owner = _PLACES.get(kind, ("stages", "extra") if kind == "stage" else (kind,))
                table = root["$defs"][f"{kind}.{name}"]
                found.extend(_options(root, f"{kind}.{name}", owner, (), table))
        return cls(root, found)

    def fits(self, schema: dict[str, Any], value: Any) -> bool:
        """Whether a value is one that the schema admits."""
        whole = {"$defs": self.root["$defs"], **schema}
        return bool(Draft202012Validator(whole).is_valid(value))

    def with_bounds(self) -> list[Option]:
        """Those that have a smallest or largest value."""
        return [option for option in self.found if any(True for _ in beyond(option.schema))]

    def with_names(self) -> list[Option]:
        """Those that are one of some names, of components or of choices."""
        return [option for option in self.found if choices(self.root, option.schema)]

    def paths(self) -> list[Option]:
        """Those that name a file or a folder."""
        return [
            option for option in self.found if any(s.get("format") == "path" for s in _parts(option.schema))
        ]


def _options(
    root: dict[str, Any], component: str, owner: Key, inside: Key, table: dict[str, Any]
) -> Iterator[Option]:
    """The options of a table, and of the tables in it that are no components."""
    for name, schema in table.get("properties", {}).items():
        if (name, inside) == ("use", ()):
            continue
        key = (*inside, name)
        yield Option(component, owner, key, schema, name in table.get("required", ()))
        for part in _parts(schema):
            items = part.get("items", {})
            for reference, below in ((part.get("$ref"), key), (items.get("$ref"), (*key, 0))):
                nested = str(reference).removeprefix("#/$defs/")
                if reference and nested.split(".")[-1][:1].isupper():  # a model, not a component
                    yield from _options(root, component, owner, below, root["$defs"][nested])


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema, or those it is any one of."""
    yield schema
    for part in schema.get("anyOf", ()):
        yield from _parts(part)


def beyond(schema: dict[str, Any]) -> Iterator[float]:
    """Numbers just outside the bounds of a schema."""
    for part in _parts(schema):
        for bound, step in (
            ("minimum", -1),
            ("exclusiveMinimum", 0),
            ("maximum", 1),
            ("exclusiveMaximum", 0),
        ):
            if bound in part:
                yield part[bound] + step


def choices(root: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """The names that a value may be, where it must be one of some."""
    names: list[str] = []
    for part in _parts(schema):
        if part.get("$ref", "").removeprefix("#/$defs/") in KINDS:
            names += root["$defs"][part["$ref"].removeprefix("#/$defs/")]["oneOf"][0]["enum"]
        names += [name for name in part.get("enum", ()) if isinstance(name, str)]
    return names


def put(tree: Any, key: Key, value: Any) -> None:
    """Set a value in tables and lists that are made where they are missing."""
    for position, part in enumerate(key[:-1]):
        empty: Any = [] if isinstance(key[position + 1], int) else {}
        if isinstance(part, int):
            tree.extend([empty] * (part + 1 - len(tree)))
        elif not isinstance(tree.get(part), dict | list):
            tree[part] = empty
        tree = tree[part]
    if isinstance(tree, list):
        tree.append(value)
    else:
        tree[key[-1]] = value


def spec_with(options: Options, option: Option, value: Any, skip: bool = False) -> dict[str, Any]:
    """A sound spec around the component of an option, with one value of it; without it at all if `skip`."""
    spec = copy.deepcopy(BASE)
    if option.component != "run":
        _kind, _, name = option.component.partition(".")
        table: dict[str, Any] = {"use": name}
        for other in options.found:
            if other.component == option.component and other.required and len(other.key) == 1:
                table[str(other.key[0])] = _sample(other)
        put(spec, option.owner, table)
    if skip:
        table.pop(str(option.key[0]), None)
    else:
        put(spec, option.place, value)
    return spec


def _sample(option: Option) -> Any:
    """A sound value of an option that must be given."""
    if option.key == ("base_url",):
        return "http://127.0.0.1:9/v1"
    samples: dict[str, Any] = {"string": "there", "array": []}
    return samples.get(option.schema.get("type", ""), {})
