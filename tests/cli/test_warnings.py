"""Warnings about valid specs are one line on stderr, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
