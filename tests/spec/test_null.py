"""A null that is meant stays null, however it was written; any other takes a value back to its default."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.spec import load_spec
from lasar_kit.spec.load import set_options
from lasar_kit.spec.schema import json_schema

BUILTIN = Catalogue.discover()
HOSTS = {
    "dataset": "dataset",
    "backbone": "backbone",
    "prompt": "prompt",
    "decoder": "decoder",
    "text_encoder": "stages.tokenize.text_encoder",
    "quantizer": "stages.tokenize.quantizer",
    "latent_loop": "stages.ground.latent_loop",
    "depth_policy": "stages.ground.depth_policy",
    "aligner": "stages.ground.aligner",
    "teacher": "stages.anchors.teacher",
    "segmenter": "stages.anchors.segmenter",
    "stage": "stages.ground",
}
"""Where a component of a kind stands in `BASE`."""
BASE: dict[str, Any] = {
    "stages": {
        "tokenize": {"use": "tokenize", "quantizer": {"use": "rq_kmeans"}},
        "ground": {"use": "sft"},
        "anchors": {"use": "anchors"},
    }
}
REQUIRED: dict[str, dict[str, Any]] = {
    "dataset.csv": {"interactions": "x.csv"},
    "dataset.recbole": {"path": "x"},
    "teacher.openai": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "cache": "c"},
}
"""Options that a component cannot be without, for those that have a field of `FIELDS`."""


def meant(schema: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every option that takes null and has another default: the component, and the keys that lead there."""
    definitions = schema["$defs"]

    def walk(part: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        branches = [part, *part.get("anyOf", [])]
        if any(branch.get("type") == "null" for branch in branches) and part.get("default", 0) is not None:
            yield keys
        for branch in branches:
            target = definitions.get(branch.get("$ref", "").removeprefix("#/$defs/"), {})
            # A component is told apart by `use`, which is a constant there, and walked by itself.
            if "use" not in target.get("properties", {}):
                yield from inside(target, keys)

    def inside(definition: dict[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for key, part in definition.get("properties", {}).items():
            yield from walk(part, (*keys, key))

    for name, definition in definitions.items():
        if "use" in definition.get("properties", {}):
            yield from ((name, keys) for keys in inside(definition, ()))


FIELDS = list(meant(json_schema(BUILTIN)[0]))


def table(keys: tuple[str, ...], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def at(spec: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        spec = spec[int(key)] if isinstance(spec, list | tuple) else spec[key]
    return spec


def resolved(folder: Path, catalogue: Any, overrides: tuple[str, ...], *chain: Any) -> Any:
    """The spec of a chain of files, each extending the one before; its lock must say the same again."""
    for place, spec in enumerate(chain):
        extends = {"extends": f"s{place - 1}.yaml"} if place else {}
        (folder / f"s{place}.yaml").write_text(json.dumps(extends | spec))
    loaded = load_spec(folder / f"s{len(chain) - 1}.yaml", overrides, catalogue)
    (folder / "lock.yaml").write_text(loaded.dump())
    (folder / "beyond.yaml").write_text("extends: lock.yaml\nseed: 1\n")
    again = load_spec(folder / "lock.yaml", (), catalogue)
    assert again.spec == loaded.spec
    beyond = load_spec(folder / "beyond.yaml", ("seed=0", "name=" + loaded.spec.name), catalogue)
    assert beyond.spec == loaded.spec
    return loaded.spec.model_dump(mode="json")


def test_the_walk_finds_what_is_known() -> None:
    known = {("dataset.csv", "time"), ("dataset.recbole", "time"), ("teacher.openai", "api_key_env")}
    assert known <= {(name, ".".join(keys)) for name, keys in FIELDS}


@pytest.mark.parametrize(("name", "keys"), FIELDS, ids=lambda part: part if type(part) is str else part[-1])
def test_of_every_built_in_component(tmp_path: Path, name: str, keys: tuple[str, ...]) -> None:
    kind, _, use = name.partition(".")
    host = tuple(HOSTS[kind].split("."))
    required = {"use": use} | REQUIRED.get(name, {})
    bare, null = table(host, required), table(host, required | table(keys, None))
    key = ".".join((*host, *keys))
    ways: dict[str, Any] = {
        "another component was there": ((), BASE, null),
        "the same component was there": ((), BASE, bare, table((*host, *keys), None)),
        "another value was there": ((), BASE, table(host, required | table(keys, "7")), null),
        "extended once more": ((), BASE, null, {"seed": 0}),
        "set": ((f"{key}=null",), BASE, bare),
        "set twice": ((f"{key}=7", f"{key}=null"), BASE, bare),
        "set as a table": ((f"{HOSTS[kind]}={json.dumps(at(null, host))}",), BASE),
    }
    for way, (overrides, *chain) in ways.items():
        assert at(resolved(tmp_path, BUILTIN, overrides, *chain), (*host, *keys)) is None, way
    given = [f"{option}={json.dumps(value)}" for option, value in REQUIRED.get(name, {}).items()]
    assert at(set_options([*given, ".".join(keys) + "=null"], kind, use, BUILTIN), keys) is None


STAGES: dict[str, Any] = {"stages": {"tokenize": {"use": "tokenize"}, "ground": {"use": "train"}}}
PLACES = [
    ("text",),
    ("choice",),
    ("number",),
    ("named",),
    ("inner", "size"),
    ("branch",),
    ("branch", "size"),
    ("part",),
    ("rates", "a"),
    ("free", "a"),
    ("free", "a", "b"),
    ("made",),
]


@pytest.mark.parametrize("keys", PLACES, ids=".".join)
@pytest.mark.parametrize("slot", ["quantizer", "maybe", "others"])
def test_every_way_to_take_null(tmp_path: Path, catalogue: Any, keys: tuple[str, ...], slot: str) -> None:
    several = slot == "others"
    host = ("stages", "tokenize", slot)
    own = {"use": "nulls"} | table(keys, None)
    null = table(host, [own] if several else own)
    place = (*host, "0", *keys) if several else (*host, *keys)
    whole = f"stages.tokenize.{slot}={json.dumps(at(null, host))}"
    plain = {"stages": STAGES["stages"] | {"tokenize": {"use": "tokenize"} | null["stages"]["tokenize"]}}
    ways: list[Any] = [((), plain), ((), STAGES, null), ((), STAGES, null, {"seed": 0}), ((whole,), STAGES)]
    if not several:
        bare = table(host, {"use": "nulls"})
        ways += [((), STAGES, bare, table(place, None)), ((f"{'.'.join(place)}=null",), STAGES, bare)]
        ways += [((), STAGES, table(host, {"use": "plain", "rate": 1}), null)]
    specs = [resolved(tmp_path, catalogue, *way) for way in ways]
    assert [at(spec, place) for spec in specs] == [None] * len(ways)
    assert [spec["stages"] for spec in specs] == [specs[0]["stages"]] * len(ways)


def test_a_null_that_says_nothing_is_the_default(tmp_path: Path, catalogue: Any) -> None:
    host = ("stages", "tokenize", "quantizer")
    patch = table(host, {"use": "nulls", "count": None, "inner": None, "text": "y", "part": {"levels": None}})
    for overrides, *chain in (
        ((), STAGES, patch),
        ((), STAGES, table(host, {"use": "nulls", "count": 9, "inner": {"size": 1}}), patch),
        (("stages.tokenize.quantizer.count=null",), STAGES, table(host, {"use": "nulls", "text": "y"})),
    ):
        found = at(resolved(tmp_path, catalogue, overrides, *chain), host)
        assert (found["count"], found["inner"], found["text"]) == (4, {"size": 3}, "y")
        assert found["part"] == {"use": "kmeans", "levels": 3, "balanced": False}
    spec = resolved(tmp_path, catalogue, ("stages.ground=null", "dataset=null"), STAGES)
    assert (list(spec["stages"]), spec["dataset"]["use"]) == (["tokenize"], "demo")


def test_a_null_of_no_option_is_told(tmp_path: Path, catalogue: Any) -> None:
    for overrides, *chain in (
        ((), STAGES, table(("stages", "tokenize", "quantizer"), {"use": "nulls", "txt": None})),
        (("stages.tokenize.quantizer={use: nulls, txt: null}",), STAGES),
    ):
        with pytest.raises(UserError, match=r"quantizer\.txt: unknown option of nulls; did you mean 'text'"):
            resolved(tmp_path, catalogue, overrides, *chain)
    with pytest.raises(UserError, match=r"s1.yaml:1: datset: unknown key; did you mean 'dataset'"):
        resolved(tmp_path, catalogue, (), STAGES, {"datset": None})
