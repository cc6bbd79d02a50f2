"""Rankers beside a model, on its training part, an earlier run, and both protocols of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import metrics
from lasar_kit.core.shares import probabilities
from lasar_kit.core.values import Env
from lasar_kit.data import stored_dataset
from lasar_kit.data.held_out import HeldOut
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.stages.evaluate import beside
from lasar_kit.stages.evaluate.beside import ask
from lasar_kit.stages.evaluate.placed import summary
from lasar_kit.store.artifacts import read_json

CATALOGUE = Catalogue.discover()
SPEC = """
name: shop
dataset: {use: demo, users: 50, items: 60}
max_history: 5
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: trie_beam, width: 20, score: trie}
stages:
  tokenize: {use: tokenize, collision: allow, quantizer: {use: rq_kmeans, levels: 2, codes: 7}}
  ground: {use: sft, samples: packed, epochs: 1, eval_users: 10, eval_width: 10, score: trie}
  plain: {use: evaluate}
  excluded: {use: evaluate, exclude_history: true}
"""


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    spec = folder.parent / "shop.yaml"
    spec.write_text(SPEC)
    runner.run_spec(load_spec(spec, overrides, CATALOGUE), CATALOGUE, folder, True)
    return json.loads((folder / "metrics.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "shop"
    run(folder)
    return folder


def lines(run: Path, stage: str) -> list[dict[str, Any]]:
    text = (run / "stages" / stage / "predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def counted(score: Callable[[Any], Any], asked: list[int]) -> Callable[[Any], Any]:
    """A ranker's `score` that writes down of how many users it is asked."""

    def score_counted(histories: Any) -> Any:
        asked.append(len(histories))
        return score(histories)

    return score_counted


def test_the_headline_is_one_of_two_protocols_that_are_the_same_whichever_it_is(shop: Path) -> None:
    stored = json.loads((shop / "metrics.json").read_text())
    plain, excluded = stored["plain"], stored["excluded"]
    for protocol in ("history_in", "history_out"):
        assert plain[protocol] == excluded[protocol]
    assert plain["history_in"] != plain["history_out"]
    assert (plain["exclude_history"], excluded["exclude_history"]) == (False, True)
    for row, headline in ((plain, "history_in"), (excluded, "history_out")):
        for key, value in row[headline].items():
            assert key == "ceiling" or row[key] == value
    own, other = lines(shop, "plain"), lines(shop, "excluded")
    for one, two in zip(own, other, strict=True):
        assert {key: one[key] for key in ("rank", "ties")} == one["history_in"] == two["history_in"]
        assert {key: two[key] for key in ("rank", "ties")} == two["history_out"] == one["history_out"]


def test_places_of_both_protocols_give_their_numbers(shop: Path) -> None:
    row = json.loads((shop / "metrics.json").read_text())["plain"]
    for protocol in ("history_in", "history_out"):
        places = [line[protocol] for line in lines(shop, "plain")]
        rank, ties = (np.array([place[key] for place in places]) for key in ("rank", "ties"))
        for name, value in metrics.summary(rank, ties).items():
            assert row[protocol][name] == pytest.approx(value)


def test_what_no_list_could_hold_is_counted(shop: Path) -> None:
    data = stored_dataset.load(shop / "stages" / "dataset")
    own = [data.sequences[user] for user in range(len(data.users))]
    unreachable = sum(sequence[-1] in sequence[:-1] for sequence in own)
    row = json.loads((shop / "metrics.json").read_text())["plain"]
    assert row["targets_in_history"] == unreachable
    assert row["history_out"]["ceiling"] == pytest.approx(1 - unreachable / 50)
    assert row["history_out"]["hr@20"] <= row["history_out"]["ceiling"]


def test_rankers_know_the_training_part_alone(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for seven users at once they say what they said of all, as a large catalogue has them asked."""
    monkeypatch.setattr(beside, "CELLS", 7 * 60 + 1)
    data = stored_dataset.load(shop / "stages" / "dataset")
    stored = json.loads((shop / "metrics.json").read_text())["plain"]
    held_out = HeldOut.of(data, "test")
    for name in ("popularity", "item_knn", "item_knn_directed", "random"):
        config = CATALOGUE.config_class("ranker", name).model_validate({"use": name})
        ranker = CATALOGUE.build("ranker", config, Env(catalogue=CATALOGUE))
        ranker.fit(data.sequences.first(data.sequences.lengths - 2), data.items)
        asked: list[int] = []
        monkeypatch.setattr(ranker, "score", counted(ranker.score, asked))
        for protocol, found in ask(ranker, name, held_out, 60).items():
            assert stored[protocol]["baselines"][name] == summary(found)
        assert asked == [*[7] * 7, 1]
    assert stored["history_in"]["baselines"]["random"]["hr@10"] == pytest.approx(10 / 60)


def test_the_width_of_the_decoder_is_the_models_alone(shop: Path) -> None:
    narrow = run(shop.parent / "narrow", "decoder.width=4", "stages.excluded=null")["plain"]
    plain = json.loads((shop / "metrics.json").read_text())["plain"]
    for protocol in ("history_in", "history_out"):
        assert narrow[protocol]["baselines"] == plain[protocol]["baselines"]
    assert narrow["short_lists"] == 50


def test_a_finished_run_stands_beside_as_it_stood_alone(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where items share a SID, and their hit; and each model decodes once for both protocols."""
    decoded: list[int] = []
    recommend = Recommender.recommend

    def counted(self: Recommender, batch: Any, width: int, allowed: Any) -> Any:
        decoded.append(len(batch.lengths))
        return recommend(self, batch, width, allowed)

    monkeypatch.setattr(Recommender, "recommend", counted)
    rankers = f"stages.plain.beside=[random, {{use: run, run: '{shop}'}}]"
    row = run(shop.parent / "beside", rankers, "stages.excluded=null")["plain"]
    assert sum(decoded) == 100
    alone = json.loads((shop / "metrics.json").read_text())["plain"]
    for protocol in ("history_in", "history_out"):
        assert list(row[protocol]["baselines"]) == ["random", "shop"]
        own = {key: value for key, value in alone[protocol].items() if key not in ("baselines", "ceiling")}
        assert row[protocol]["baselines"]["shop"] == pytest.approx(own)


def test_a_run_on_other_data_is_refused(shop: Path, tmp_path: Path) -> None:
    data = stored_dataset.load(shop / "stages" / "dataset")
    config = CATALOGUE.config_class("ranker", "run").model_validate({"use": "run", "run": str(shop)})
    ranker = CATALOGUE.build("ranker", config, Env(catalogue=CATALOGUE))
    with pytest.raises(UserError, match="was trained on other interactions than this run's training part"):
        ranker.fit(data.sequences, data.items)
    with pytest.raises(UserError, match="another catalogue than this run: it has 60 items"):
        ranker.fit(data.train, data.items[:59])
    renamed = data.items.with_columns(id=data.items["id"] + "x")
    with pytest.raises(UserError, match="another catalogue than this run: 'item-00000x' is none"):
        ranker.fit(data.train, renamed)
    with pytest.raises(UserError, match="is not the folder of a run"):
        CATALOGUE.build("ranker", config.model_copy(update={"run": tmp_path}), Env(catalogue=CATALOGUE))


def test_a_run_finds_its_items_in_another_order(shop: Path) -> None:
    data = stored_dataset.load(shop / "stages" / "dataset")
    config = CATALOGUE.config_class("ranker", "run").model_validate({"use": "run", "run": str(shop)})
    ranker, turned = (CATALOGUE.build("ranker", config, Env(catalogue=CATALOGUE)) for _ in range(2))
    ranker.fit(data.train, data.items)
    order = np.random.default_rng(2).permutation(60)
    row = np.argsort(order)
    train = type(data.train)(data.train.offsets, row[data.train.items])
    turned.fit(train, data.items[order.tolist()])
    histories = [np.array([3, 7, 1]), np.array([5])]
    scores = ranker.score(histories)
    assert np.isfinite(scores).sum(1).tolist() == [20, 20]
    assert np.array_equal(turned.score([row[history] for history in histories]), scores[:, order])


def test_a_run_is_a_member_under_both_protocols(shop: Path) -> None:
    """What its second beam lists in the place of histories has the probability that it has in the first."""
    data = stored_dataset.load(shop / "stages" / "dataset")
    run = {"use": "run", "run": str(shop)}
    of = [{"ranker": run, "share": 0.6}, {"ranker": "item_knn_directed", "share": 0.4}]
    histories = HeldOut.of(data, "test").histories[:8]
    scores = {}
    for options in (run, {"use": "item_knn_directed"}, {"use": "blend", "of": of}):
        config = CATALOGUE.config_class("ranker", str(options["use"])).model_validate(
            options, context={"catalogue": CATALOGUE}
        )
        ranker = CATALOGUE.build("ranker", config, Env(catalogue=CATALOGUE))
        ranker.fit(data.train, data.items)
        both = ranker.score_both(histories) if hasattr(ranker, "score_both") else ranker.score(histories)
        scores[config.use] = both
    logs, knn = scores["run"], np.maximum(scores["item_knn_directed"], 0)
    rows = read_json(shop / "stages" / "tokenize" / "index.json")
    spelled = ["".join(rows[item]) for item in data.items["id"]]
    sharers = np.array([spelled.count(sid) for sid in spelled])
    assert sharers.max() > 1
    for log, found, out in zip(logs, scores["blend"], (False, True), strict=True):
        expected = 0.6 * np.exp(log) / sharers + 0.4 * knn / knn.sum(1, keepdims=True)
        for row, history in zip(expected, histories, strict=True):
            row[history] *= not out
        np.testing.assert_allclose(found, np.where(expected > 0, expected, -np.inf))
    assert ((logs[1] > -np.inf) & (logs[0] == -np.inf)).any()


def test_a_run_counts_for_its_share_however_narrow_its_beam(shop: Path) -> None:
    """An item of the narrow beam has the probability that it has in one as wide as the catalogue."""
    data = stored_dataset.load(shop / "stages" / "dataset")
    of = [{"ranker": {"use": "run", "run": str(shop)}}, {"ranker": "item_knn_directed"}]
    config = CATALOGUE.config_class("ranker", "blend").model_validate(
        {"use": "blend", "of": of}, context={"catalogue": CATALOGUE}
    )
    blend: Any = CATALOGUE.build("ranker", config, Env(catalogue=CATALOGUE))
    blend.fit(data.train, data.items)
    histories = HeldOut.of(data, "test").histories[:8]
    run, listed = blend.rankers[0], {}
    scores = {}
    for width in (8, 60):
        run.model.width = width
        scores[width], listed[width] = blend.score(histories), run.score(histories) > -np.inf
    assert (listed[8].sum(1) == 8).all()
    assert listed[60].all()
    np.testing.assert_allclose(scores[8][listed[8]], scores[60][listed[8]], rtol=1e-5)
    np.testing.assert_allclose(scores[60].sum(1), 1, rtol=1e-5)
    lost = [np.maximum(scores[width], 0).sum(1) for width in (8, 60)]
    assert (lost[0] < lost[1] - 0.01).all()


def test_a_run_over_the_vocabulary_has_the_sum_of_its_beam(shop: Path) -> None:
    """What its model gives to no item is no item's: untrained, that is nearly all."""
    over = ["decoder.score=vocabulary", "stages.plain.beside=[]", "stages.excluded=null"]
    run(shop.parent / "vocabulary", *over)
    data = stored_dataset.load(shop / "stages" / "dataset")
    options = {"use": "run", "run": str(shop.parent / "vocabulary")}
    config = CATALOGUE.config_class("ranker", "run").model_validate(options)
    ranker = CATALOGUE.build("ranker", config, Env(catalogue=CATALOGUE))
    ranker.fit(data.train, data.items)
    scores = ranker.score(HeldOut.of(data, "test").histories[:8])
    assert (np.exp(scores).sum(1) < 0.1).all()
    found = probabilities(ranker, scores, None, "softmax")
    np.testing.assert_allclose(found, np.exp(scores) / np.exp(scores).sum(1, keepdims=True))


def test_rows_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SPEC)
    twice = "stages.plain.beside=[ease, {use: ease, l2: 9}]"
    with pytest.raises(UserError, match="two rows would be called 'ease'; give one of them a 'label'"):
        load_spec(tmp_path / "shop.yaml", [twice], CATALOGUE)
    told = "stages.plain.beside=[ease, {use: ease, l2: 9, label: EASE 9}]"
    stage: Any = load_spec(tmp_path / "shop.yaml", [told], CATALOGUE).spec.stages["plain"]
    assert [ranker.called for ranker in stage.beside] == ["ease", "EASE 9"]


def test_nothing_need_stand_beside(shop: Path) -> None:
    row = run(shop.parent / "alone", "stages.plain.beside=[]", "stages.excluded=null")["plain"]
    assert row["baselines"] == row["history_out"]["baselines"] == {}
