"""Warnings about valid specs are one line on stderr, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.errors import UserError
from lasar_kit.run import suite

SPEC = "stages:\n  tokenize: tokenize\n  ground: sft\n  anchors: anchors\n"


@pytest.mark.parametrize("command", [("check",), ("run", "--dry-run")], ids=" ".join)
def test_a_warning_does_not_fail(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    result = call(*command, "spec.yaml")
    assert (result.code, len(result.err)) == (0, 1)
    assert result.err[0].startswith("warning: spec.yaml:4: stages.anchors: the backbone is from scratch")
    assert result.out
    quiet = call(*command, "spec.yaml", "--set", "stages.ground.text.weight=1")
    assert (quiet.code, quiet.err) == (0, [])
    monkeypatch.setenv("RANK", "1")
    assert call(*command, "spec.yaml").err == []


SUITE = """\
spec: spec.yaml
rows:
  as it is: {}
  wider, none: {set: {backbone: {hidden_size: 24}}}
  read: {set: {stages: {ground: {text: {weight: 1}}}}}
  own: {set: {stages: {anchors: {samples: longest_per_user}}}}
"""
EVALUATED = f"{SPEC}  last: evaluate\ndecoder: {{width: 10}}\n"


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "dry"])
def test_a_suite_tells_each_warning_once_with_its_rows_before_it_runs(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Whatever the seeds; where rows say it in places of their own, the first of them is told."""
    monkeypatch.chdir(tmp_path)
    begin(monkeypatch)
    Path("spec.yaml").write_text(EVALUATED)
    Path("suite.yaml").write_text(SUITE)
    result = call("suite", "suite.yaml", "--seeds", "2", *options)
    anchors, narrow, begun = (line.replace(f"{tmp_path}/", "") for line in result.err)
    assert anchors.startswith("warning: spec.yaml:4: stages.anchors: the backbone is from scratch")
    assert anchors.endswith("(rows as it is; wider, none; own)")
    assert narrow.startswith("warning: spec.yaml:6: decoder: a beam of 10 ends before place 20")
    assert narrow.endswith("(all rows)")
    assert begun == "begun"


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "dry"])
def test_a_study_tells_what_of_its_spec_is_hardly_meant_and_nothing_of_its_own_changes(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Controls write options out that nobody named: GRPO's clip, say, which cannot act."""
    monkeypatch.chdir(tmp_path)
    begin(monkeypatch)
    thinks = "{use: sft, latent_loop: coconut, depth_policy: mlp}"
    Path("spec.yaml").write_text(
        "backbone: {hidden_size: 16, layers: 1, heads: 2}\n"
        f"stages: {{tokenize: tokenize, reason: {thinks}, rl: {{use: rl, depth: argmax}}, last: evaluate}}\n"
    )
    result = call("study", "spec.yaml", "--max-depth", "1", *options)
    *told, begun = result.err
    assert [line.rpartition(" (")[::2] for line in told] == [
        (
            "warning: spec.yaml:2: stages.rl: reinforce needs drawn depths, but depth is 'argmax': it only "
            "sees what the policy finds best already; set 'depth: sample'",
            "rows as it is; pause positions; noise thoughts)",
        )
    ]
    assert begun == "begun"


def begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a suite's runs, and what tells of them, end in a line."""

    def ends(*given: Any) -> None:
        raise UserError("begun")

    for name in ("run_cells", "tell_cells"):
        monkeypatch.setattr(suite, name, ends)
