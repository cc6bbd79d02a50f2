"""A small LASAR run that can be cut off."""

import json
from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.engine import runner
from lasar_kit.engine.updates import Updater
from lasar_kit.spec import load_spec

SPEC = """
name: lasar
dataset: {use: demo, users: 40, items: 60}
max_history: 5
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300, embedding_dropout: 0.1}
prompt: sid_only
decoder: {use: trie_beam, width: 10, score: trie}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: 8}}
  ground:
    {use: sft, samples: packed, epochs: 6, batch_size: 15, eval_users: 10, eval_width: 10, patience: 2,
     score: trie, text: {weight: 0.2, batch_size: 2}, checkpoint_every: 3, log_every: 2}
  anchors: {use: anchors, max_segments: 3, max_samples: 40}
  reason:
    {use: sft, latent_loop: coconut, depth_policy: {use: mlp, n_max: 3}, aligner: stepwise, samples: packed,
     epochs: 1, batch_size: 20, eval_users: 10, eval_width: 10, score: trie}
  rl:
    {use: rl, epochs: 2, max_samples: 30, batch_size: 10, candidates: 4, eval_users: 10, eval_width: 10,
     log_every: 1, updates_per_rollout: 2, checkpoint_every: 1, optimizer: {lr: 1.0e-2, warmup: 0.2}}
"""
ALONE = ("stages.anchors=null", "stages.reason=null", "stages.rl=null")
"""Overrides that leave nothing behind the stage `ground`."""


class Killed(BaseException):
    """Stands for SIGKILL."""


def run(folder: Path, *overrides: str, resume: bool = False, use_cache: bool = True) -> Path:
    """Run, or go on; the folder of the stages."""
    folder.mkdir(exist_ok=True)
    (folder / "lasar.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    loaded = load_spec(folder / "lasar.yaml", overrides, catalogue)
    runner.run_spec(loaded, catalogue, folder / "lasar", use_cache, resume)
    return folder / "lasar" / "stages"


def cut(owner: type, name: str, calls: int) -> pytest.MonkeyPatch:
    """Have a method die at its n-th call."""
    method, patch, left = getattr(owner, name), pytest.MonkeyPatch(), [calls]

    def dies(self: Any, *given: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return method(self, *given, **more)

    patch.setattr(owner, name, dies)
    return patch


def killed(folder: Path, calls: int, *overrides: str, resume: bool = False, owner: type = Updater) -> None:
    """A run that dies at an update (or where a recommender is written)."""
    patch = cut(owner, "update" if owner is Updater else "save", calls)
    try:
        with pytest.raises(Killed):
            run(folder, *overrides, resume=resume)
    finally:
        patch.undo()


def counted(folder: Path, *overrides: str, resume: bool) -> int:
    """Go on to the end; how many updates that took."""
    patch, calls, update = pytest.MonkeyPatch(), [0], Updater.update

    def counts(self: Any, *given: Any) -> Any:
        calls[0] += 1
        return update(self, *given)

    patch.setattr(Updater, "update", counts)
    try:
        run(folder, *overrides, resume=resume)
    finally:
        patch.undo()
    return calls[0]


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "samples_per_s"} for line in found]


def same(ours: Path, theirs: Path) -> None:
    names = {path.name for path in theirs.iterdir()}
    assert {path.name for path in ours.iterdir()} == names
    for name in names - {"artifact.json", "log.jsonl"}:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    if "log.jsonl" in names:
        assert lines(ours / "log.jsonl") == lines(theirs / "log.jsonl")
    reports = [json.loads((folder / "artifact.json").read_text())["report"] for folder in (ours, theirs)]
    assert reports[0] == reports[1]


def updates(stages: Path, name: str) -> int:
    made: int = json.loads((stages / name / "artifact.json").read_text())["report"]["updates"]
    return made
