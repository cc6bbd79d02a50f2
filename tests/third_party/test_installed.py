"""Distributions of third parties, installed from wheels: a sound one works, a broken one is told by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.fresh import Fresh

SPEC = """\
dataset: {use: demo, users: 30, items: 60}
stages:
  tokenize:
    use: tokenize
    text_encoder: {use: letters, damping: 0.7}
    quantizer: {use: rq_kmeans, levels: 2, codes: 8}
"""
TOLD_WHEN_LISTED = {
    "api": "written for API >=7,<8, but this lasar-kit has 2.0; it needs a later lasar-kit",
    "gone": "package 'broken_gone' is not installed",
    "toml": "broken_toml/registry.toml: cannot be read: ",
    "twice": "segmenter 'sentences' is also in lasar-kit:builtin",
}
TOLD_WHEN_USED = {
    ("segmenter", "needs_more"): "segmenter 'needs_more' of lasar-broken:import: cannot import "
    "broken_import.config:Config: ModuleNotFoundError: No module named 'library_that_nobody_has'; "
    "pip install library-that-nobody-has",
    ("segmenter", "wrong_base"): "segmenter 'wrong_base' of lasar-broken:base: broken_base.config:Config is "
    "not a subclass of ComponentConfig",
    ("decoder", "wrong_base"): "decoder 'wrong_base' of lasar-broken:base: broken_hook.sound:Config is not a "
    "subclass of DecoderConfig",
    ("segmenter", "sentences"): "segmenter 'sentences' is declared by both lasar-kit:builtin and "
    "lasar-broken:twice; remove one of them",
    ("segmenter", "later"): "segmenter 'later' of lasar-broken:api: written for API >=7,<8, but this "
    "lasar-kit has 2.0; it needs a later lasar-kit",
}
MISSPELT = "plugin lasar-broken:hook: hooks of broken_hook.hooks: "


def told_by(lines: list[str]) -> dict[str, str]:
    """Return what is said of each entry point of the broken distribution."""
    found = {}
    for line in lines:
        assert line.startswith("plugin lasar-broken:")
        name, _, text = line.removeprefix("plugin lasar-broken:").partition(": ")
        found[name] = text
    return found


def check_told(lines: list[str]) -> None:
    told = told_by(lines)
    assert set(told) == set(TOLD_WHEN_LISTED)
    assert all(part in told[name] for name, part in TOLD_WHEN_LISTED.items())


def test_listing_knows_all_and_imports_none(installed: Fresh, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom lasar_kit.cli.main import main\n"
        "try:\n    main(['plugins', 'list', '--json'])\nexcept SystemExit:\n"
        "    print([name for name in sys.modules if name.startswith(('lasar_letters', 'broken_', 'torch'))])"
    )
    done = installed.run(["python", "-c", program], tmp_path)
    *listed, imported = done.stdout.splitlines()
    assert imported == "[]"
    check_told(done.stderr.splitlines())
    rows = json.loads("\n".join(listed))
    assert {
        "kind": "text_encoder",
        "name": "letters",
        "summary": "How often each letter occurs in an item's title.",
        "origin": "lasar-letters:letters",
        "paper": "Etaoin shrdlu",
        "config": "lasar_letters.config:LettersConfig",
        "build": "lasar_letters.encoder:Letters",
    } in rows
    names = {(row["kind"], row["name"]) for row in rows}
    assert {("segmenter", "beside_hook"), ("segmenter", "beside_twice"), ("backbone", "qwen3")} <= names


def test_the_schema_holds_its_options_and_leaves_out_what_is_broken(installed: Fresh, tmp_path: Path) -> None:
    done = installed.run(["lasar-kit", "schema"], tmp_path)
    schema: dict[str, Any] = json.loads(done.stdout)
    damping = schema["$defs"]["text_encoder.letters"]["properties"]["damping"]
    assert damping["description"] == "Power that counts are raised to."
    assert (damping["exclusiveMinimum"], damping["maximum"]) == (0, 1)
    encoder = {"use": "letters", "damping": 0.7}
    spec = {"stages": {"tokenize": {"use": "tokenize", "text_encoder": encoder}}}
    valid = jsonschema.Draft202012Validator(schema).is_valid
    assert valid(spec)
    encoder["damping"] = 2
    assert not valid(spec)
    left_out = [line.removeprefix("left out: ") for line in done.stderr.splitlines() if "left out" in line]
    assert sorted(left_out) == sorted(TOLD_WHEN_USED.values())
    check_told([line for line in done.stderr.splitlines() if "left out" not in line])


@pytest.mark.parametrize(("kind", "name"), TOLD_WHEN_USED)
def test_what_is_broken_is_told_when_it_is_used(
    installed: Fresh, tmp_path: Path, kind: str, name: str
) -> None:
    done = installed.run(["lasar-kit", "plugins", "show", kind, name], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [TOLD_WHEN_USED[kind, name]]


def test_its_options_are_validated(installed: Fresh, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("0.7", "1.7"))
    done = installed.run(["lasar-kit", "check", "spec.yaml"], tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "spec.yaml:5: stages.tokenize.text_encoder.damping: must be <= 1 (got 1.7)"
    )


def test_it_runs_and_its_hook_wraps_every_stage(installed: Fresh, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = installed.run(["lasar-kit", "run", "spec.yaml", "--output", "run"], tmp_path)
    assert done.returncode == 0, done.stderr
    for stage in ("dataset", "tokenize"):
        artifact = json.loads((tmp_path / "run" / "stages" / stage / "artifact.json").read_text())
        assert artifact["report"]["letters_timed"] == stage
        assert artifact["report"]["letters_seconds"] > 0
    *others, misspelt = sorted(done.stderr.splitlines(), key=lambda line: line.startswith(MISSPELT))
    check_told(others)
    assert misspelt.startswith(MISSPELT)
    assert "repport" in misspelt


def test_a_component_that_lacks_its_interface_is_told_when_it_is_built(
    installed: Fresh, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("letters, damping: 0.7", "lacks"))
    done = installed.run(["lasar-kit", "run", "spec.yaml", "--output", "run"], tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "text_encoder 'lacks' of lasar-broken:members: broken_hook.sound:Segmenter lacks encode; "
        "see TextEncoder in lasar_kit.core.interfaces"
    )
