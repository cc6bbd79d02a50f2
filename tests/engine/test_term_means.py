"""Means of the terms of a loss against sums by hand, and what a run says of terms that were 0 throughout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lasar_kit.stages.sft.means import TermMeans
from lasar_kit.train.updater import Term
from tests.small import ran

SPEC = """
name: shop
dataset: {use: demo, users: 40, items: 60}
max_history: 4
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: trie_beam, width: 20, score: trie}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: 8}}
  ground: {use: sft, epochs: 0.2, batch_size: 16, eval_users: 5}
  anchors: {use: anchors, max_samples: 40}
  think:
    {use: sft, latent_loop: coconut, depth_policy: mlp, epochs: 1, batch_size: 16, eval_users: 5,
     objectives: [{objective: rearec_erl, weight: 0.1}, {objective: each_thought, weight: 0.1}]}
"""


def noted(means: TermMeans, **terms: tuple[float, float]) -> None:
    """An update of terms by their means and counts."""
    means.add(
        {name: mean for name, (mean, _) in terms.items()},
        {name: Term(1.0, count) for name, (_, count) in terms.items()},
    )


def test_means_are_over_all_that_was_counted_lately() -> None:
    means = TermMeans(2)
    assert means.losses == {}
    noted(means, ce=(100.0, 100), gap=(0.0, 0))
    noted(means, ce=(2.0, 3), gap=(0.0, 0))
    noted(means, ce=(4.0, 1), gap=(0.0, 0))
    assert means.losses == {"ce": (2 * 3 + 4) / 4, "gap": 0}


def test_terms_that_were_0_throughout_are_named_with_what_they_counted() -> None:
    means = TermMeans(1)
    noted(means, ce=(1.0, 4), early=(0.5, 2), flat=(0.0, 1500), gap=(0.0, 0))
    again = TermMeans(1)
    again.recall(json.loads(json.dumps(means.memory())))
    noted(again, ce=(1.0, 4), early=(0.0, 2), flat=(0.0, 500), gap=(0.0, 0))
    asked = dict.fromkeys(("early", "flat", "gap", "unbuilt"), "objectives")
    flat, gap = again.idle(asked, 2)
    assert flat.startswith("objectives: its term, loss_flat in the log, was 0 in each of 2 updates")
    assert "over 2,000 things it counted" in flat
    assert "loss_gap" in gap
    assert "it found nothing to count" in gap
    assert not list(again.idle({}, 2))


@pytest.mark.parametrize(
    ("override", "idle"),
    [("name=shop", []), ("stages.tokenize.quantizer.codes=[1,60]", ["rearec_erl"])],
    ids=["moved", "one first code"],
)
def test_a_run_tells_of_terms_that_taught_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, idle: list[str]
) -> None:
    stages = ran(tmp_path, "shop", SPEC, [override])
    report = json.loads((stages / "think" / "artifact.json").read_text())["report"]
    assert len(report["warnings"]) == len(idle)
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("so it taught nothing") == len(idle)
    for name, line in zip(idle, report["warnings"], strict=True):
        assert f"stages.think.objectives: its term, loss_{name} in the log" in told
        assert f"loss_{name}" in line
        assert report["losses"][name] == 0
