"""Reuse of what was made with the same key, as it was made, and of nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.run import runner
from lasar_kit.run.dry_run import dry_run
from lasar_kit.spec import load_spec
from lasar_kit.store import fingerprints
from lasar_kit.store.artifacts import ArtifactStore
from lasar_plugins.quantizer.rq_kmeans.quantizer import RqKmeans
from tests.cli.conftest import write_plugin  # noqa: F401

STAGE = "  {name}: {{use: tokenize, quantizer: {{use: rq_kmeans, levels: 2, codes: {codes}}}}}\n"


class Fits:
    """Counts how often a quantizer is fitted: once a stage that is run."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        fit = RqKmeans.fit

        def counts(quantizer: RqKmeans, *given: object) -> object:
            self.count += 1
            return fit(quantizer, *given)  # type: ignore[arg-type]

        patch.setattr(RqKmeans, "fit", counts)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    return Fits(monkeypatch)


def write(folder: Path, **codes: int) -> Path:
    """A spec with a tokenize stage of each name."""
    stages = "".join(STAGE.format(name=name, codes=number) for name, number in codes.items())
    folder.mkdir(exist_ok=True)
    (folder / "s.yaml").write_text(f"dataset: {{use: demo, users: 30, items: 60}}\nstages:\n{stages}")
    return folder / "s.yaml"


def run(folder: Path, use_cache: bool = True, run: str = "run", **codes: int) -> Path:
    catalogue = Catalogue.discover()
    loaded = load_spec(write(folder, **codes), (), catalogue)
    runner.run_spec(loaded, catalogue, folder / run, use_cache)
    return folder / run / "stages"


def codes(stages: Path) -> dict[str, int]:
    """Codes a level of the SIDs that each stage left."""
    found = sorted(stages.glob("*/sizes.json"))
    return {path.parent.name: json.loads(path.read_text())[0] for path in found}


@pytest.mark.parametrize(
    ("before", "after", "fitted"),
    [
        ({"a": 8, "b": 16}, {"a": 16, "b": 8}, 0),  # exchanged
        ({"a": 8, "b": 16, "c": 32}, {"a": 32, "b": 8, "c": 16}, 0),  # in turn
        ({"a": 8, "b": 16}, {"b": 8, "a": 16}, 0),  # exchanged, and in another order
        ({"a": 8, "b": 16}, {"a": 16, "b": 32}, 1),
        ({"a": 8, "b": 16}, {"a": 8, "b": 8}, 0),
        ({"a": 8}, {"a": 16, "b": 16, "c": 8}, 1),  # the second one takes what the first one leaves
    ],
    ids=str,
)
def test_stages_that_change_places_keep_what_is_theirs(
    tmp_path: Path, fits: Fits, before: dict[str, int], after: dict[str, int], fitted: int
) -> None:
    run(tmp_path, **before)
    fits.count = 0
    stages = run(tmp_path, **after)
    assert codes(stages) == after
    assert fits.count == fitted
    assert {path.name for path in stages.iterdir()} == {"dataset", *after}


def test_what_is_put_aside_outlives_a_run_that_fails(
    tmp_path: Path, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of three that change places is lost neither by the first two nor by what stops the run."""
    run(tmp_path, a=8, b=16, c=32)
    adopt = ArtifactStore.adopt

    def fails(store: ArtifactStore, name: str, key: str) -> object:
        if name == "c":
            raise KeyboardInterrupt
        return adopt(store, name, key)

    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "adopt", fails)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, a=16, b=32, c=8)
    fits.count = 0
    stages = run(tmp_path, a=16, b=32, c=8)
    assert codes(stages) == {"a": 16, "b": 32, "c": 8}
    assert fits.count == 0
    assert not list(stages.glob(".*"))


def test_without_cache_all_is_made_anew(tmp_path: Path, fits: Fits) -> None:
    run(tmp_path, a=8, b=8)
    assert fits.count == 1
    run(tmp_path, use_cache=False, a=8, b=8)
    assert fits.count == 3


def test_a_dry_run_tells_what_the_run_then_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, a=8, b=16)
    catalogue = Catalogue.discover()
    loaded = load_spec(write(tmp_path, a=16, b=8, c=32, d=32), (), catalogue)
    capsys.readouterr()
    dry_run(loaded, catalogue, Path("run"), True)  # nothing beside it
    assert "reuse /" not in capsys.readouterr().out
    dry_run(loaded, catalogue, tmp_path / "run", True)
    table = capsys.readouterr().out.partition("Stages of")[2]
    would = {line.split()[1]: line.split("│")[4].split() for line in table.splitlines() if "tokenize" in line}
    assert [would[name][0] for name in "abcd"] == ["reuse", "reuse", "run", "reuse"]
    assert would["d"] == ["reuse", "what", "c", "leaves"]


def change_nothing_but_a_byte(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as file:  # in place, as a hard link would notice
        file.write(bytes([content[0] ^ 1]))


def test_what_was_edited_is_not_reused(
    tmp_path: Path, fits: Fits, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by its own run nor by one beside it; and the edit reaches no other run."""
    first, second = run(tmp_path, a=8), run(tmp_path, run="second", a=8)
    assert fits.count == 1
    assert (first / "a" / "codes.safetensors").read_bytes() == (
        second / "a" / "codes.safetensors"
    ).read_bytes()
    sound = (first / "a" / "codes.safetensors").read_bytes()
    change_nothing_but_a_byte(first / "a" / "codes.safetensors")
    assert (second / "a" / "codes.safetensors").read_bytes() == sound
    run(tmp_path, a=8)
    assert "is damaged" in capsys.readouterr().out
    assert fits.count == 1  # there was the second run's
    for stages in (first, second):
        change_nothing_but_a_byte(stages / "a" / "codes.safetensors")
    run(tmp_path, run="third", a=8)
    assert fits.count == 2
    assert (tmp_path / "third" / "stages" / "a" / "codes.safetensors").read_bytes() == sound


def keys(folder: Path, text: str, *overrides: str, plugins: tuple[Path, ...] = ()) -> dict[str, str]:
    """The key of every stage of a spec."""
    (folder / "k.yaml").write_text(text)
    catalogue = Catalogue.discover(plugins)
    loaded = load_spec(folder / "k.yaml", overrides, catalogue)
    return {step.stage.name: step.key for step in runner.steps_of(loaded, catalogue)}


def alone(folder: Path, *plugins: Path) -> str:
    """The key that a stage would have if it read from no other."""
    catalogue = Catalogue.discover(plugins)
    catalogue.load_hooks()
    loaded = load_spec(folder / "k.yaml", (), catalogue)
    return fingerprints.stage_key(loaded.plan[0], loaded.spec, {}, catalogue)


def changed(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in one if one[name] != other[name]}


LASAR = """
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2}
stages: {tokenize: tokenize, ground: sft, anchors: anchors, reason: sft, rl: rl, evaluate: evaluate}
"""


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("decoder.width=7", {"evaluate"}),
        ("decoder.table_megabytes=0", {"evaluate"}),
        ("decoder.score=trie", {"ground", "anchors", "reason", "rl", "evaluate"}),
        ("stages.rl.checkpoint_every=1", set()),
        ("max_history=7", {"ground", "anchors", "reason", "rl", "evaluate"}),
        ("seed=1", {"dataset", "tokenize", "ground", "anchors", "reason", "rl", "evaluate"}),
    ],
)
def test_a_stage_depends_on_what_it_uses(tmp_path: Path, override: str, expected: set[str]) -> None:
    assert changed(keys(tmp_path, LASAR), keys(tmp_path, LASAR, override)) == expected


HOOK = """
from lasar_kit.hookspecs import hookimpl
from {package}.helper import FACTOR

@hookimpl(wrapper=True)
def lasar_run_stage(run, stage, context):
    return (yield)
"""


def test_hooks_that_may_change_a_stage_are_in_its_key(
    tmp_path: Path,
    write_plugin: Callable[..., Path],  # noqa: F811
) -> None:
    def write(package: str, hooks: str) -> Path:
        registry = '[hooks]\nmodules = ["{package}.hooks"]\n'
        return write_plugin(package, registry=registry, hooks=hooks, helper="FACTOR = 1")

    folder = write("wraps", HOOK.format(package="wraps"))
    observer = "from lasar_kit.hookspecs import hookimpl\n@hookimpl\ndef lasar_run_end(): ...\n"
    observes = write("observes", observer)
    bare, hooked = keys(tmp_path, LASAR), keys(tmp_path, LASAR, plugins=(folder,))
    assert changed(bare, hooked) == set(bare)
    assert keys(tmp_path, LASAR, plugins=(folder,)) == hooked
    assert keys(tmp_path, LASAR, plugins=(observes,)) == bare
    assert alone(tmp_path, folder) != alone(tmp_path)
    (folder / "wraps" / "helper.py").write_text("FACTOR = 2")
    assert changed(keys(tmp_path, LASAR, plugins=(folder,)), hooked) == set(bare)
