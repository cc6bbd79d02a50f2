"""Thoughts as `explain` tells of them, against the model asked directly and distances worked out by hand."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.depth import forced_depth
from lasar_kit.data.anchor_store import AnchorStore
from lasar_kit.errors import UserError
from lasar_kit.model.thoughts import stops
from lasar_kit.serve.explain import Explained, Explainer, explain
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.serve.segments import place_of

HISTORY = ["item-00003", "item-00050", "item-00008"]


@pytest.fixture(scope="module")
def model(shop: Path) -> LoadedRun:
    return LoadedRun.load(shop, Catalogue.discover())


@pytest.fixture(scope="module")
def explainer(shop: Path) -> Explainer:
    return Explainer.load(shop, Catalogue.discover())


@pytest.fixture(scope="module")
def told(explainer: Explainer) -> Explained:
    return explainer.explain(HISTORY, 4, 4)


def test_the_chosen_stop_is_what_the_model_recommends(explainer: Explainer, model: LoadedRun) -> None:
    one = explainer.explain(HISTORY, 4)
    assert len(one.stops) == one.depth + 1
    assert one.depth == max(one.policy, key=lambda depth: one.policy[depth])
    assert sum(one.policy.values()) == pytest.approx(1)
    [ranked] = model.rank([HISTORY], 4)
    assert [item.item for item in one.stops[-1].items] == [item.item for item in ranked]
    assert [item.score for item in one.stops[-1].items] == pytest.approx(
        [item.score for item in ranked], abs=1e-5
    )


def test_each_stop_is_the_answer_at_that_depth(
    told: Explained, model: LoadedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for depth in range(1, 5):
        monkeypatch.setattr(model.recommender, "choose_depth", partial(forced_depth, k=depth))
        [ranked] = model.rank([HISTORY], 4)
        assert [item.item for item in told.stops[depth].items] == [item.item for item in ranked]


def test_prefixes_hold_the_probability_of_their_items(model: LoadedRun) -> None:
    """A beam as wide as the catalogue holds all items: sums over them give the first tokens' distribution."""
    recommender, rows = model.recommender, model.rows(HISTORY)
    read = stops(recommender, rows, len(model.dataset.items), 3)
    assert read.beams.valid.all()
    first = torch.as_tensor(recommender.prompts.tokens)[read.beams.items[:, 0], 0]
    for t in range(4):
        for token, logp in zip(read.tokens, read.first[t], strict=True):
            mass = read.beams.logp[t, 0][first[t] == token].exp().sum()
            assert float(mass) == pytest.approx(float(logp.exp()), abs=1e-5)
    p = read.first.double().exp().numpy()
    kl = [float((p[t + 1] * np.log(p[t + 1] / p[t])).sum()) for t in range(3)]
    assert read.changes() == pytest.approx(kl, abs=1e-6)
    assert min(kl) > 0


def test_a_thought_is_held_to_its_own_segment_and_the_nearest(
    shop: Path, explainer: Explainer, model: LoadedRun
) -> None:
    """By bidirectional KL of softmaxes, as the run's aligner measures."""
    lines = [json.loads(line) for line in (shop / "stages/anchors/texts.jsonl").read_text().splitlines()]
    line = next(line for line in lines if line["text"].count("\n") >= 7 and line["end"] >= 3)
    user = model.dataset.users.index(line["user"])
    rows = model.dataset.sequences[user][: line["end"]]
    one = explainer.explain([model.dataset.items["id"][int(row)] for row in rows], 1, 2)
    store = AnchorStore.open(shop / "stages" / "anchors")
    thoughts = stops(model.recommender, rows, 20, 2).thoughts.double().numpy()
    log_p = log_softmax(thoughts, -1)[:, None]
    log_q = log_softmax(store.states.astype(np.float64), -1)
    distance = 0.5 * ((np.exp(log_p) - np.exp(log_q)) * (log_p - log_q)).sum(-1)
    place = place_of(rows, model.dataset, 6)
    assert place is not None
    at = np.searchsorted(store.keys, place[0] << 32 | place[1])
    assert one.measure == "stepwise bikl"
    assert one.stops[0].own is None
    assert one.stops[0].nearest == []
    for t in (1, 2):
        own, nearest = one.stops[t].own, one.stops[t].nearest
        assert own is not None
        assert own.distance == pytest.approx(distance[t - 1, store.offsets[at] + t - 1], rel=1e-3)
        assert own.text in line["text"]
        assert nearest[0].distance == pytest.approx(distance[t - 1].min(), rel=1e-3)
        assert len({near.text for near in nearest}) == len(nearest) == 3
        assert [near.distance for near in nearest] == sorted(near.distance for near in nearest)


def test_a_prompt_is_found_by_what_it_shows(model: LoadedRun) -> None:
    """Where more items came before than a prompt shows, these do not count; the last one has no answer."""
    user = int(np.argmax(model.dataset.train.lengths))
    row = model.dataset.train[user]
    place = place_of(row[:8], model.dataset, 6)
    assert place is not None
    assert model.dataset.train[place[0]][place[1] - 6 : place[1]].tolist() == row[2:8].tolist()
    assert place_of(np.array([0, 0, 0, 0, 1]), model.dataset, 6) is None
    assert place_of(np.array([], dtype=np.int64), model.dataset, 6) is None


def test_mistakes_are_told_before_anything_is_drawn(shop: Path, explainer: Explainer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--depth 9: this model thinks 4 times at most"):
        explainer.explain(HISTORY, 1, 9)
    with pytest.raises(UserError, match="no item 'item-3'"):
        explainer.explain(["item-3"], 1)
    with pytest.raises(UserError, match=r"must end in \.svg, \.pdf or \.png"):
        explain(shop, [("--history", HISTORY)], 1, Catalogue.discover(), figure=tmp_path / "a.gif")


def test_what_is_printed(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure, asked = tmp_path / "thoughts.svg", [("--history", HISTORY), ("--history", HISTORY[:1])]
    explain(shop, asked, 2, Catalogue.discover(), 2, True, figure)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["history"] for line in lines] == [HISTORY, HISTORY[:1]]
    assert [stop["thoughts"] for stop in lines[0]["stops"]] == [0, 1, 2]
    assert lines[0]["stops"][0]["change"] is None
    drawn = figure.read_text(encoding="utf-8")
    assert "stopped after so many thoughts" in drawn
    assert lines[0]["stops"][0]["prefixes"][0][0]["tokens"].replace("<", "&lt;").replace(">", "&gt;") in drawn
    explain(shop, asked[:1], 2, Catalogue.discover(), 1)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"history: {', '.join(HISTORY)}"
    assert next(line for line in out if line.startswith("after")) == "after 0 thoughts"
    assert len([line for line in out if line.startswith("  near")]) == 3
