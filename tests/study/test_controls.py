"""The rows of a study: what each changes of a spec, and what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.errors import UserError
from lasar_kit.run.controls import Row, Rows, rows_of
from lasar_kit.spec import load_spec

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "tests" / "shop.yaml"
BASELINES = ROOT / "tutorials" / "baselines"


def rows(path: Path, *overrides: str, largest: int | None = None) -> Rows:
    return rows_of(path, overrides, Catalogue.discover(), largest)


def stages(path: Path, row: Row, *overrides: str) -> dict[str, Any]:
    loaded = load_spec(path, [*overrides, *row.changes], Catalogue.discover())
    return dict(loaded.spec.stages)


def test_the_shop_has_all_rows() -> None:
    found = rows(SHOP, largest=2)
    assert [row.kind for row in found.rows] == ["spec", "none", "pause", "noise", "fixed", "fixed"]
    assert [row.folder for row in found.rows] == ["spec", "none", "pause", "noise", "fixed-1", "fixed-2"]
    assert (found.skipped, found.stage, found.depths) == ({}, "evaluate", (1, 2))
    assert [row.depth for row in rows(SHOP).rows if row.kind == "fixed"] == [1, 2, 3, 4]


def test_each_row_trains_as_long_and_differs_in_what_it_says() -> None:
    by_kind = {row.folder: stages(SHOP, row) for row in rows(SHOP, largest=2).rows}
    itself = by_kind["spec"]
    assert [name for name in itself if name.startswith("depth_")] == ["depth_1", "depth_2"]
    assert [itself[f"depth_{k}"].depth for k in (1, 2)] == [1, 2]
    for kind, found in by_kind.items():
        for stage in ("ground", "reason", "rl"):
            assert found[stage].epochs == itself[stage].epochs, kind
            assert found[stage].batch_size == itself[stage].batch_size, kind
    none = by_kind["none"]
    assert "anchors" not in none
    assert (none["reason"].latent_loop.use, none["reason"].depth_policy.use) == ("none", "none")
    assert [entry.objective.use for entry in none["rl"].objectives] == ["grpo"]
    assert none["rl"].align_weight == 0
    for loop in ("pause", "noise"):
        reason = by_kind[loop]["reason"]
        assert (reason.latent_loop.use, reason.aligner.use) == (loop, "none")
        assert reason.depth_policy == itself["reason"].depth_policy
        assert [entry.objective.use for entry in by_kind[loop]["rl"].objectives] == ["grpo", "reinforce"]
    fixed = by_kind["fixed-2"]
    assert (fixed["reason"].depth_policy.use, fixed["reason"].depth_policy.depth) == ("fixed", 2)
    assert (fixed["reason"].depth, fixed["reason"].aligner.use) == ("policy", "stepwise")
    assert [entry.objective.use for entry in fixed["rl"].objectives] == ["grpo"]
    assert all(found["evaluate"].beside == () for kind, found in by_kind.items() if kind != "spec")


def test_a_control_keeps_how_the_answer_follows_and_what_is_asked_of_answers() -> None:
    """A residual exit is that of the controls too; the term on thoughts goes, that on answers stays."""
    extra = (
        "stages.reason.latent_loop={use: coconut, exit: residual, residual_std: 0.1}",
        "stages.reason.objectives=[{objective: each_thought}, {objective: answer, weight: 2}]",
    )
    found = {row.kind: stages(SHOP, row, *extra) for row in rows(SHOP, *extra, largest=1).rows}
    pause = found["pause"]["reason"].latent_loop
    assert (pause.exit, pause.residual_std) == ("residual", 0.1)
    for kind in ("none", "pause", "noise"):
        assert [entry.objective.use for entry in found[kind]["reason"].objectives] == ["answer"]
    assert len(found["fixed"]["reason"].objectives) == 2


def test_an_exit_that_a_control_has_not_is_left_to_its_default() -> None:
    extra = "stages.reason.latent_loop={use: coconut, exit: hN_as_input}"
    found = {row.kind: stages(SHOP, row, extra) for row in rows(SHOP, extra, largest=1).rows}
    assert found["noise"]["reason"].latent_loop.exit == "e_token"


@pytest.mark.parametrize(("own", "control"), [("mean", "mean"), ("last", "direct")])
def test_controls_of_rearec_answer_as_it_does(own: str, control: str) -> None:
    """By the mean of states, or behind the last thought, which the loops of controls call direct."""
    extra = f"stages.reason.latent_loop={{use: rearec, exit: {own}}}"
    found = {row.kind: stages(SHOP, row, extra) for row in rows(SHOP, extra, largest=1).rows}
    assert {found[kind]["reason"].latent_loop.exit for kind in ("pause", "noise")} == {control}


def test_rl_of_depths_alone_goes_where_there_are_none_to_choose() -> None:
    found = rows(ROOT / "tutorials" / "depth_probe.yaml", largest=1)
    by_kind = {row.kind: stages(ROOT / "tutorials" / "depth_probe.yaml", row) for row in found.rows}
    assert "rl" in by_kind["pause"]
    assert "rl" not in by_kind["none"]
    assert "rl" not in by_kind["fixed"]
    assert "think" not in by_kind["none"]  # an evaluation on the way


def test_a_depth_for_all_is_compared_with_others_but_not_forced() -> None:
    extra = "stages.reason.depth_policy={use: fixed, depth: 3}"
    found = rows(SHOP, extra)
    assert [row.kind for row in found.rows] == ["spec", "none", "pause", "noise"]
    assert not any(name.startswith("depth_") for name in stages(SHOP, found.rows[0], extra))


def test_a_row_that_the_parts_refuse_is_left_out_with_the_reason() -> None:
    """RL of depths alone cannot go where the evaluation names it."""
    found = rows(ROOT / "tutorials" / "depth_probe.yaml", "stages.evaluate.from=rl", largest=1)
    assert [row.kind for row in found.rows] == ["spec", "pause", "noise"]
    assert list(found.skipped) == ["no thoughts", "N = 1 for all"]
    assert all("from: no earlier stage is called 'rl'" in reason for reason in found.skipped.values())


def test_what_thinks_nowhere_or_measures_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="no stage thinks"):
        rows(BASELINES / "sasrec.yaml")
    with pytest.raises(UserError, match="no stage 'evaluate' to measure by"):
        rows(SHOP, "stages.evaluate=null")
