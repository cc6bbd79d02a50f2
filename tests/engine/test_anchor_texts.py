"""How a teacher's segments are read: about which prompts, behind what, and in which number format."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lasar_kit.core import samples
from lasar_kit.core.values import Env
from lasar_kit.data import stored_dataset
from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.data.sids import Sids
from lasar_kit.model.recommender import Recommender
from lasar_kit.run import runner
from lasar_kit.stages.anchors import segment_states
from lasar_kit.stages.anchors.segment_states import chains_of, pieces_of
from lasar_kit.stages.sft import stage
from tests.engine.test_reasoning_run import load

NO_MORE = ("stages.reason=null", "stages.evaluate=null")


def run(folder: Path, *overrides: str) -> Path:
    loaded, catalogue = load(
        folder, *NO_MORE, "stages.ground.epochs=1", "stages.anchors.max_samples=40", *overrides
    )
    runner.run_spec(loaded, catalogue, folder / "run", True)
    return folder / "run"


def test_pieces_are_the_text_cut_behind_each_segment() -> None:
    text = "Step 1: oils.\n\n Step 2: soap,\nand more soap.  Enough."
    cut = ["Step 1: oils.", "Step 2: soap, and more soap.", "Enough."]
    assert pieces_of(text, cut) == ["Step 1: oils.", "\n\n Step 2: soap, and more soap.", "  Enough."]
    assert pieces_of(text, ["oils.", "no such words", "Enough."]) == [
        "oils.",
        " no such words",
        "\n\n Step 2: soap,\nand more soap.  Enough.",
    ]
    assert pieces_of("soap soap", ["soap", "soap"]) == ["soap", " soap"]


def test_chains_begin_as_texts_do_in_training() -> None:
    rows, start, prompt = [np.array([4, 5]), np.array([6])], np.array([1]), np.array([1, 8, 9])
    told = {
        context: [(ids.tolist(), reads.tolist()) for ids, reads in chains_of(rows, context, start, prompt)]
        for context in ("segment_only", "cumulative", "prompt_prefixed")
    }
    assert told["segment_only"] == [([1, 4, 5], [2]), ([1, 6], [1])]
    assert told["cumulative"] == [([1, 4, 5, 6], [2, 3])]
    assert told["prompt_prefixed"] == [([1, 8, 9, 4, 5, 6], [4, 5])]
    assert [ids.tolist() for ids, _ in chains_of(rows, "cumulative", start[:0], prompt)] == [[4, 5, 6]]


def test_cumulative_anchors_are_states_of_the_text_as_written(tmp_path: Path) -> None:
    """Each against transformers' own forward over the text up to the segment's end."""
    folder = run(tmp_path, "stages.anchors.context=cumulative", "stages.anchors.dtype=float32")
    stages = folder / "stages"
    loaded, catalogue = load(tmp_path)
    sids = Sids.load(stages / "tokenize")
    recommender = Recommender.load(stages / "ground", catalogue, loaded.spec.decoder, sids, Env()).eval()
    dataset, store = stored_dataset.load(stages / "dataset"), AnchorStore.open(stages / "anchors")
    windows = samples.sliding(dataset.train, 6)
    compared = 0
    for window in windows:
        anchors, label = store.batch([[(window.user, window.stop - 1)]], 1)
        if not label.item() or compared > 4:
            continue
        compared += 1
        text = next(text for place, text in _texts(stages / "anchors") if place == _place(dataset, window))
        segmenter = catalogue.build("segmenter", loaded.spec.stages["anchors"].segmenter, Env())  # type: ignore[attr-defined]
        end = 0
        for place, segment in enumerate(segmenter.segment(text)[:5]):
            end = text.index(segment, end) + len(segment)
            ids = recommender.backbone.tokenizer("<bos>" + text[:end], return_tensors="pt")["input_ids"]
            with torch.no_grad():
                state = recommender.backbone.model.model(ids).last_hidden_state[0, -1]
            torch.testing.assert_close(anchors.states[0, 0, place], state, atol=1e-4, rtol=1e-3)
    assert compared == 5


def _texts(folder: Path) -> list[tuple[tuple[str, int], str]]:
    lines = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    return [((line["user"], line["end"]), line["text"]) for line in lines]


def _place(dataset: Any, window: samples.Window) -> tuple[str, int]:
    return dataset.users[window.user], window.stop - 1


def test_a_teacher_may_write_about_the_longest_prompts_alone(tmp_path: Path) -> None:
    folder = run(tmp_path, "stages.anchors.samples=longest_per_user", "stages.anchors.max_samples=0")
    dataset = stored_dataset.load(folder / "stages" / "dataset")
    expected = {(u, int(n) - 1) for u, n in enumerate(dataset.train.lengths) if n >= 2}
    store = AnchorStore.open(folder / "stages" / "anchors")
    assert {(int(key) >> 32, int(key) & (2**32 - 1)) for key in store.keys} == expected


@pytest.mark.parametrize(("samples_", "rule"), [("packed", "sliding"), ("longest_per_user",) * 2])
def test_reasoning_texts_are_about_the_prompts_that_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples_: str, rule: str
) -> None:
    asked: list[list[samples.Window]] = []
    whole = stage.ask_teacher

    def spy(context: Any, config: Any, dataset: Any, windows: Any, *rest: Any) -> Any:
        asked.append(list(windows))
        assert list(windows) == samples.RULES[rule](dataset.train, 6)
        return whole(context, config, dataset, windows, *rest)

    monkeypatch.setattr(stage, "ask_teacher", spy)
    text = "stages.ground.reasoning_text={weight: 0.1, max_samples: 0}"
    loaded, catalogue = load(
        tmp_path,
        *NO_MORE,
        "stages.anchors=null",
        f"stages.ground.samples={samples_}",
        "stages.ground.epochs=1",
        text,
    )
    runner.run_spec(loaded, catalogue, tmp_path / "run", True)
    assert len(asked) == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_segments_are_read_in_the_precision_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    seen = set()
    whole = segment_states._read

    def spy(*values: Any) -> Any:
        seen.add(torch.is_autocast_enabled("cpu"))
        return whole(*values)

    monkeypatch.setattr(segment_states, "_read", spy)
    run(tmp_path, f"stages.anchors.precision={precision}")
    assert seen == {precision == "bf16"}
