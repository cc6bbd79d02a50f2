"""Several rankers as one: probabilities, what is listed, histories left out, what `check` refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import ITEM_COLUMNS, Sequences
from lasar_kit.core.metrics import HISTORY_IN, HISTORY_OUT
from lasar_kit.core.shares import probabilities
from lasar_kit.core.values import Env
from lasar_kit.data.held_out import HeldOut
from lasar_kit.errors import UserError
from lasar_kit.spec import RankerConfig, load_spec, missing_files
from lasar_kit.stages.evaluate.beside import ask
from lasar_plugins.ranker.blend.config import BlendConfig
from lasar_plugins.ranker.blend.ranker import Blend
from tests.decode.scored import Scored

CATALOGUE = Catalogue.discover()
ITEMS = 5
TABLE = pl.DataFrame({name: [f"{name} {item}" for item in range(ITEMS)] for name in ITEM_COLUMNS})
TRAIN = Sequences.of([[0, 1], [0, 1, 2], [3]])
NONE = -np.inf


def fitted(*of: dict[str, Any]) -> Any:
    config = CATALOGUE.config_class("ranker", "blend").model_validate(
        {"use": "blend", "of": of}, context={"catalogue": CATALOGUE}
    )
    ranker = CATALOGUE.build("ranker", config, Env())
    ranker.fit(TRAIN, TABLE)
    return ranker


def rows(*histories: list[int]) -> list[np.ndarray]:
    return [np.array(history, dtype=np.int64) for history in histories]


def blend(rankers: Sequence[Any], normalise: str = "sum", shares: Sequence[float] | None = None) -> Blend:
    """Of rankers as they are."""
    given = shares or [None] * len(rankers)
    of = [
        {"ranker": RankerConfig(use=str(place)), "share": share, "normalise": normalise}
        for place, share in enumerate(given)
    ]
    made = Env(build=lambda kind, config, env: rankers[int(config.use)])
    return Blend(BlendConfig.model_validate({"use": "blend", "of": of}), made)


class Beam(Scored):
    """Scores the two best of a table; with the history left out, the two best others."""

    draws_ties = True

    def score(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        return self._best(histories, [[]] * len(histories))

    def score_both(self, histories: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return self.score(histories), self._best(histories, [row.tolist() for row in histories])

    def _best(self, histories: Sequence[np.ndarray], without: Sequence[list[int]]) -> np.ndarray:
        scores = super().score(histories)
        for row, out in zip(scores, without, strict=True):
            row[out] = NONE
            row[np.argsort(-row)[2:]] = NONE
        return scores


class Logs(RankerConfig):
    """Options of a ranker whose scores are logarithms."""

    normalised_by = "softmax"


class LogBeam(Beam):
    """The same of log-probabilities."""

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        return np.exp(scores)


def test_equal_shares_of_two_rankers_by_hand() -> None:
    """Purchases are 2, 2, 1, 1 of 6; behind item 2, whose one user has 0 and 1, KNN has these two."""
    scores = fitted({"ranker": "popularity"}, {"ranker": "item_knn"}).score(rows([2]))
    np.testing.assert_allclose(scores, [[5 / 12, 5 / 12, 1 / 12, 1 / 12, NONE]])


def test_shares_are_relative() -> None:
    for shares in ((3, 1), (0.75, 0.25)):
        members = zip(("popularity", "item_knn"), shares, strict=True)
        scores = fitted(*({"ranker": ranker, "share": share} for ranker, share in members)).score(rows([2]))
        np.testing.assert_allclose(scores, [[3 / 8, 3 / 8, 1 / 8, 1 / 8, NONE]])


def test_a_member_without_a_list_gives_all_the_same() -> None:
    """Nobody has item 4; where no member has anything to say, nothing is listed."""
    scores = fitted({"ranker": "popularity"}, {"ranker": "item_knn"}).score(rows([4]))
    np.testing.assert_allclose(scores, [[4 / 15, 4 / 15, 11 / 60, 11 / 60, 1 / 10]])
    for members in (["item_knn"], ["item_knn", "swing"]):
        assert fitted(*({"ranker": ranker} for ranker in members)).score(rows([4])).tolist() == [[NONE] * 5]


def test_logarithms_become_probabilities_by_softmax() -> None:
    config = CATALOGUE.config_class("ranker", "run")
    assert config.normalised_by == "softmax"  # type: ignore[attr-defined]
    logs = np.log([[0.2, 0.6, 0.1, 0.05, 0.05]]).tolist()
    scores = blend([Beam(logs), Scored([[1.0, NONE, NONE, 3.0, NONE]])], "softmax").score(rows([0]))
    e = np.exp(2)
    np.testing.assert_allclose(
        scores, [[0.125 + 0.5 / (1 + e), 0.375, NONE, 0.5 * e / (1 + e), NONE]], rtol=1e-12
    )


def test_what_a_beam_leaves_out_keeps_its_share() -> None:
    """The beam holds 0.5 and 0.2; put to a sum of 1 item 0 would have 0.357, and stand before item 2. Where
    item 0 is left out, item 2 comes into the beam with its 0.15."""
    beam = LogBeam(np.log([[0.5, 0.2, 0.15, 0.1, 0.05]]).tolist())
    rankers = [beam, Scored([[NONE, NONE, 3.0, 2.0, NONE]])]
    made = Env(build=lambda kind, config, env: rankers[int(config.use)])
    of = [{"ranker": Logs(use="0")}, {"ranker": RankerConfig(use="1")}]
    mixed = Blend(BlendConfig.model_validate({"use": "blend", "of": of}), made)
    inside, outside = mixed.score_both(rows([0]))
    np.testing.assert_allclose(inside, [[0.25, 0.1, 0.3, 0.2, NONE]])
    np.testing.assert_allclose(outside, [[NONE, 0.1, 0.375, 0.2, NONE]])
    np.testing.assert_allclose(mixed.probabilities(inside), [[0.25, 0.1, 0.3, 0.2, 0]])
    # As the prior of a decoder, or a member of another blend, it is not put to a sum of 1 either.
    own = probabilities(mixed, inside, None, BlendConfig.normalised_by)
    np.testing.assert_allclose(own, [[0.25, 0.1, 0.3, 0.2, 0]])
    told = probabilities(mixed, inside, "sum", BlendConfig.normalised_by)
    np.testing.assert_allclose(told, np.array([[0.25, 0.1, 0.3, 0.2, 0]]) / 0.85)


def test_a_beam_that_lists_nothing_gives_all_items_the_same() -> None:
    none = np.full((1, ITEMS), NONE)
    np.testing.assert_allclose(probabilities(LogBeam([]), none, None, "softmax"), [[0.2] * ITEMS])


def test_a_history_is_left_out_and_others_come_in_its_place() -> None:
    """The beam holds items 0 and 1, of 0.2 and 0.6; without 1 it holds 2, half as probable as 0."""
    beam = Beam(np.log([[0.2, 0.6, 0.1, 0.05, 0.05]]).tolist())
    mixed = blend([beam, Scored([[2.0, 1.0, NONE, 1.0, NONE]])], "softmax", [1, 1])
    other = np.exp([0.0, -1, -1]) / (1 + 2 / np.e)
    inside, outside = mixed.score_both(rows([1]))
    np.testing.assert_array_equal(inside, mixed.score(rows([1])))
    np.testing.assert_allclose(
        inside, [[(0.25 + other[0]) / 2, (0.75 + other[1]) / 2, NONE, other[2] / 2, NONE]]
    )
    np.testing.assert_allclose(outside, [[inside[0, 0], NONE, 0.125 / 2, other[2] / 2, NONE]])


def test_an_evaluation_of_plain_rankers_is_as_of_any() -> None:
    """Without histories it ranks as it does with them, less these."""
    mixed = blend([Scored([[1.0, 2, 3, 4, NONE]]), Scored([[5.0, 0, 0, 1, 1]])])
    held_out = HeldOut(np.arange(2), rows([0, 3], [4]), np.array([1, 2]))
    found = ask(mixed, "blend", held_out, ITEMS)
    # 0.414, 0.1, 0.15, 0.271 and 0.071
    assert found[HISTORY_IN].rank.tolist() == [4, 3]
    assert found[HISTORY_OUT].rank.tolist() == [2, 3]
    assert found[HISTORY_OUT].listed.tolist() == [3, 4]


def test_ties_are_drawn_where_a_member_draws_them() -> None:
    assert fitted({"ranker": "random"}, {"ranker": "popularity"}).draws_ties
    assert not fitted({"ranker": "ease"}, {"ranker": "popularity"}).draws_ties


number = st.one_of(st.just(NONE), st.floats(0.01, 9))
tables = st.lists(st.lists(number, min_size=ITEMS, max_size=ITEMS), min_size=1, max_size=3)
parts = st.lists(st.tuples(tables, st.floats(0.1, 5)), min_size=1, max_size=4)
ways = st.sampled_from(["sum", "softmax"])
asked = rows([0], [1, 1], [2])


@given(parts, ways)
def test_probabilities_add_up(of: list[tuple[list[list[float]], float]], way: str) -> None:
    """To 1, where any member lists an item; and an item is listed where one does."""
    rankers, shares = [Scored(table) for table, _ in of], [share for _, share in of]
    scores = blend(rankers, way, shares).score(asked)
    members = np.stack([ranker.score(asked) for ranker in rankers])
    said = (members > NONE).any(2)
    for user, row in enumerate(scores):
        if not said[:, user].any():
            assert row.tolist() == [NONE] * ITEMS
            continue
        assert row[row > NONE].sum() == pytest.approx(1)
        listed = (members[:, user] > NONE).any(0) | ~said[:, user].all()
        assert (row > NONE).tolist() == listed.tolist()


@given(tables, ways)
def test_one_member_ranks_as_it_does_alone(table: list[list[float]], way: str) -> None:
    alone = Scored(table).score(asked)
    scores = blend([Scored(table)], way).score(asked)
    for own, row in zip(alone, scores, strict=True):
        for item in range(ITEMS):
            close = np.isclose(own, own[item], rtol=1e-12)
            assert ((row > row[item]) == (own > own[item]))[~close].all()
        assert (row > NONE).tolist() == (own > NONE).tolist()


@given(st.tuples(tables, tables, tables), ways)
def test_a_blend_of_a_blend_is_one_blend(three: tuple[list[list[float]], ...], way: str) -> None:
    """Shares of a half of a half."""
    one, two, three_ = (Scored(table) for table in three)
    nested = blend([one, blend([two, three_], way)], "sum")
    of = [
        {"ranker": RankerConfig(use="0"), "share": 2, "normalise": "sum"},
        *({"ranker": RankerConfig(use=place), "share": 1, "normalise": way} for place in "12"),
    ]
    build = Env(build=lambda kind, config, env: (one, two, three_)[int(config.use)])
    flat = Blend(BlendConfig.model_validate({"use": "blend", "of": of}), build).score(asked)
    np.testing.assert_allclose(nested.score(asked), flat, atol=1e-12)


SPEC = """
name: s
dataset: demo
backbone: qwen3
prompt: sid_only
decoder: {use: mixed_trie, prior: {use: blend, of: [{ranker: popularity}]}}
stages:
  tokenize: {use: tokenize, quantizer: rq_kmeans}
  ground: sft
  evaluate: evaluate
"""


def spec(folder: Path, of: str) -> Any:
    (folder / "s.yaml").write_text(SPEC)
    return load_spec(folder / "s.yaml", [f"decoder.prior.of={of}"], CATALOGUE)


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ("[]", "decoder.prior.of: must hold at least 1"),
        ("[{ranker: popularity, share: 0}]", "decoder.prior.of[0].share: must be > 0 (got 0)"),
        ("[{ranker: popularity, share: -1}]", "decoder.prior.of[0].share: must be > 0 (got -1)"),
        ("[{ranker: populrity}]", "decoder.prior.of[0].ranker.use: unknown ranker 'populrity'"),
        (
            "[{ranker: {use: run, run: gone}, normalise: sum}]",
            "decoder.prior.of[0].normalise: sum divides by the sum of what is above 0, and scores of run are "
            "logarithms, by which all items would be alike; leave 'normalise' out, or set it to softmax",
        ),
        (
            "[{ranker: popularity, share: 0.3}, {ranker: item_knn}]",
            "decoder.prior.of: member 1 (item_knn) has no share, where others have; give one to",
        ),
    ],
)
def test_what_makes_no_blend_is_refused_by_its_key(tmp_path: Path, of: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        spec(tmp_path, of)
    [line] = caught.value.lines
    assert told in line


def test_a_sum_of_logarithms_is_refused_of_a_prior_too(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SPEC)
    prior = ["decoder.prior={use: run, run: gone}", "decoder.normalise=sum"]
    with pytest.raises(UserError) as caught:
        load_spec(tmp_path / "s.yaml", prior, CATALOGUE)
    [line] = caught.value.lines
    assert line.startswith(
        "--set decoder.normalise: decoder.normalise: sum divides by the sum of what is above 0"
    )
    for fits in ("decoder.normalise=softmax", "decoder.prior={use: blend, of: [{ranker: popularity}]}"):
        load_spec(tmp_path / "s.yaml", [*prior, fits], CATALOGUE)


def test_a_run_that_is_not_there_is_told_of_by_its_key(tmp_path: Path) -> None:
    loaded = spec(tmp_path, "[{ranker: popularity}, {ranker: {use: run, run: gone}}]")
    [line] = missing_files(loaded)
    assert "decoder.prior.of[1].ranker.run: no such file or folder: " in line
