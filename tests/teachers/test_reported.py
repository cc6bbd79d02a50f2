"""A teacher's numbers in a run's report, and what it says of empty answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from tests.teachers.endpoint import Endpoint, completion

SPEC = """
dataset: {{use: demo, users: 20, items: 60}}
max_history: 4
backbone: {{use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}}
prompt: sid_only
stages:
  tokenize: {{use: tokenize, quantizer: {{use: rq_kmeans, levels: 2, codes: 8}}}}
  ground: {{use: sft, samples: packed, epochs: 0.2, eval_users: 4, eval_width: 10}}
  anchors:
    use: anchors
    max_samples: 4
    segmenter: steps
    teacher: {{use: openai, base_url: '{url}', model: m, cache: cache, api_key_env: null, concurrency: 1}}
"""


def run(folder: Path, url: str, *overrides: str) -> dict[str, float]:
    """Return what the report says of the teacher."""
    (folder / "s.yaml").write_text(SPEC.format(url=url))
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(folder / "s.yaml", overrides, catalogue), catalogue, folder / "out", True)
    report = json.loads((folder / "out" / "stages" / "anchors" / "artifact.json").read_text())["report"]
    told: dict[str, float] = report["teacher"]
    return told


def test_an_endpoint_that_thinks_too_long(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The empty answer ends the run, is asked again by the next, and nothing else is."""
    steps = completion("Step 1: Likes oils.\nStep 2: Buys often.")
    nothing = completion("<think>The next item", finish="length")
    endpoint.plan = [(200, steps, {}), (200, nothing, {}), (200, steps, {}), (200, steps, {})]
    with pytest.raises(
        UserError, match=r"1 of 4 requests failed, the last with an empty answer \(finish: length"
    ):
        run(tmp_path, endpoint.url)
    assert len(endpoint.asked) == 4
    endpoint.plan = [(200, steps, {})]
    told = run(tmp_path, endpoint.url)
    assert len(endpoint.asked) == 5
    assert (told["empty"], told["prompt_tokens"], told["answer_tokens"]) == (0, 100, 20)
    assert "warning: the teacher left" not in capsys.readouterr().out


def test_empty_answers_that_may_be_are_counted_and_told(
    endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = completion("Step 1: Likes oils.\nStep 2: Buys often.")
    nothing = completion(None, finish="length")
    endpoint.plan = [(200, steps, {}), (200, nothing, {}), (200, steps, {}), (200, nothing, {})]
    told = run(tmp_path, endpoint.url, "stages.anchors.teacher.failed_share=0.5")
    assert (told["empty"], told["failed"], told["cut_off"], told["answer_tokens"]) == (2, 2, 2, 80)
    out = " ".join(capsys.readouterr().out.split())
    assert "warning: the teacher left 2 answers empty, 2 of all were cut off at its token limit" in out
