"""What `benchmarks/systems.py` stores of runs that are spread over calls, and what its tables show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.report.bootstrap import paired_bootstrap
from lasar_kit.spec import load_spec
from tests.benchmarks import importing

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def load() -> Iterator[Callable[[str], Any]]:
    """Imports a script of benchmarks/."""
    with importing() as found:
        yield found


@pytest.fixture
def parts(load: Callable[[str], Any]) -> Any:
    return load("systems")


def a_run(
    name: str, seed: int, value: float = 0.5, stages: tuple[str, ...] = ("evaluate",), **more: Any
) -> Any:
    row = {protocol: {"hr@10": value, "ndcg@10": value} for protocol in ("history_out", "history_in")}
    about = {"data": "shop", "name": name, "seed": seed, "device": "a box", "versions": {}, "seconds": 90}
    return {**about, "validation": 0.1, "stages": dict.fromkeys(stages, row), **more}


def test_a_run_takes_the_place_of_its_like_and_no_other(parts: Any, tmp_path: Path) -> None:
    first = {"shop/SASRec/0/evaluate": np.array([[1, 0], [2, 70]], np.uint8)}
    parts.add(tmp_path, [a_run("SASRec", 0), a_run("SASRec", 1), a_run("TIGER", 0)], first)
    # Made again without ranks: the old ones are no longer those of what is stored.
    parts.add(tmp_path, [a_run("SASRec", 0, 0.7, device="another")], {})
    stored = parts.read(tmp_path)
    told = [
        (r["name"], r["seed"], r["device"], r["stages"]["evaluate"]["history_in"]["hr@10"])
        for r in stored.results["runs"]
    ]
    assert told == [("SASRec", 0, "another", 0.7), ("SASRec", 1, "a box", 0.5), ("TIGER", 0, "a box", 0.5)]
    assert not stored.ranks
    parts.add(tmp_path, [a_run("TIGER", 1)], {"shop/TIGER/1/evaluate": np.array([[3], [4]], np.uint8)})
    assert parts.read(tmp_path).ranks["shop/TIGER/1/evaluate"].tolist() == [[3], [4]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["systems.json", "systems_users.npz"]


def test_what_is_set_of_each_system_is_valid_and_its_rows_are_stages(
    load: Callable[[str], Any], parts: Any
) -> None:
    listed, catalogue = load("system_parts.listed"), Catalogue.discover()
    plain = listed.System("")
    told = {n: s for n, s in listed.SYSTEMS.items() if (s.options, s.rows) != (plain.options, plain.rows)}
    assert len(told) >= 10  # all specs are valid as they stand: test_tutorials.py
    for name, system in told.items():
        options = listed.settings("scientific", Path("data"), name, 2, 1.0)
        spec = load_spec(ROOT / "tutorials" / "baselines" / f"{system.spec}.yaml", options, catalogue).spec
        rows = listed.STUDIES[name].rows if name in listed.STUDIES else set(system.rows) - {"memory"}
        assert {stage for stage, config in spec.stages.items() if config.use == "evaluate"} >= set(rows), name


def test_ndcg_of_ranks(load: Callable[[str], Any], parts: Any) -> None:
    """By hand: 1, 1 / log2(3), 1 / log2(11); the eleventh place and an unlisted target have none."""
    stored = load("system_parts.stored")
    expected = [1.0, 1 / math.log2(3), 1 / math.log2(11), 0.0, 0.0]
    np.testing.assert_allclose(stored.ndcg(np.array([1, 2, 10, 11, 0], np.uint8)), expected, rtol=1e-12)


def test_p_values_of_runs_of_several_calls(parts: Any, tmp_path: Path) -> None:
    """Two seeds in two calls have the p-value of the users' means; what has no ranks has none and is kept."""
    stages, draw = ("evaluate", "e_more", "e_think1"), np.random.default_rng(1)
    ranks = {
        f"shop/thinking/{seed}/{stage}": draw.integers(0, 12, (2, 60)).astype(np.uint8)
        for seed in (0, 1)
        for stage in stages
    }
    for seed in (0, 1):
        own = {name: value for name, value in ranks.items() if f"/{seed}/" in name}
        parts.add(tmp_path, [a_run("thinking", seed, stages=stages)], own)
    study = parts.read(tmp_path).results["study"]["shop"]["thinking"]
    for place, protocol in enumerate(("history_out", "history_in")):
        means = {
            stage: np.mean(
                [
                    [
                        1 / math.log2(r + 1) if 0 < r <= 10 else 0.0
                        for r in ranks[f"shop/thinking/{seed}/{stage}"][place]
                    ]
                    for seed in (0, 1)
                ],
                axis=0,
            )
            for stage in stages
        }
        for stage in ("evaluate", "e_think1"):
            test = paired_bootstrap(means[stage], means["e_more"], np.random.default_rng(0))
            assert study[protocol][stage] == test.p_value
        assert set(study[protocol]) == {"evaluate", "e_think1"}
    # Other systems leave the study as it is, and so does a run that is stored already.
    parts.add(tmp_path, [a_run("SASRec", 0), a_run("thinking", 1, stages=stages)], {})
    assert parts.read(tmp_path).results["study"]["shop"]["thinking"] == study
    # A third seed of which no ranks are kept: p-values of two would stand beside means of three.
    parts.add(tmp_path, [a_run("thinking", 2, stages=stages)], {})
    assert parts.read(tmp_path).results["study"]["shop"]["thinking"] == {"history_out": {}, "history_in": {}}


def test_tables_of_rows_that_some_runs_lack(parts: Any, tmp_path: Path) -> None:
    """A stage that one of two runs has, a system on another machine, and the minutes of each."""
    new = a_run("held", 1, 0.25, stages=("evaluate", "e_more", "e_pause_each3"), seconds=150)
    runs = [a_run("held", 0, stages=("evaluate", "e_more")), new]
    runs += [
        a_run("SASRec", seed, 0.5 + seed / 4, ("evaluate", "memory"), seconds=60 + seed) for seed in (0, 1)
    ]
    parts.add(tmp_path, [*runs, a_run("TIGER", 0, device="a phone", seconds=6000)], {})
    stored = parts.read(tmp_path).results
    text = parts.study(stored, "shop", "held")
    assert (
        "| three pauses, each held to the answer (control) (1 of 2 seeds) | 0.2500 |  | 0.2500 |  |" in text
    )
    assert "three thoughts" not in text
    assert text.endswith("the median over seeds: 2.0, a box.")
    *_, sasrec, memory, tiger, _, note = parts.table(stored, "shop").splitlines()
    mean = "0.6250 ± 0.1768"
    assert sasrec == f"| SASRec | 2 | {mean} | {mean} | {mean} | {mean} | 1.0 |  |"
    assert memory == f"| SASRec, with memory | 2 | {mean} | {mean} | {mean} | {mean} |  |  |"
    assert tiger == "| TIGER | 1 | 0.5000 | 0.5000 | 0.5000 | 0.5000 | 100.0 |  |"
    assert note.endswith("the median over seeds: a box; TIGER: a phone.")


def test_a_study_tells_what_each_row_was_validated_at_and_cost(parts: Any, tmp_path: Path) -> None:
    """By hand: the mean of two validations, the median of two times; blank where one of the runs has none."""
    stages = ("evaluate", "e_more", "e_rl", "m_rl")
    both = {"train": {"updates": 9, "validation": 0.25, "seconds": 60}, "rl": {"validation": 0.5}}
    runs = [
        a_run("LASAR", 0, stages=stages, trained=both),
        a_run(
            "LASAR",
            1,
            stages=stages,
            trained={"train": {"validation": 0.75, "seconds": 120}, "rl": both["rl"]},
        ),
    ]
    parts.add(tmp_path, runs, {})
    half = "0.5000 ± 0.0000 |  | 0.5000 ± 0.0000 | "
    head, _, *rows, _, note = parts.study(parts.read(tmp_path).results, "shop", "LASAR").splitlines()
    assert head.endswith("| not excluded: NDCG@10 | p | validation | minutes |")
    assert rows == [
        f"| MiniOneRec (SFT) | {half} | 0.5000 | 1.5 |",
        f"| MiniOneRec trained as long (SFT) | {half} |  |  |",
        f"| LASAR (RL) | {half} | 0.5000 |  |",
        f"| LASAR (RL), with memory | {half} |  |  |",
    ]
    assert note.endswith("the median over seeds: 1.5, a box.")


def test_what_was_tried_stands_beside_the_same_without_it(parts: Any, tmp_path: Path) -> None:
    """A run of one training has its own validation and minutes, a study its stages'; none, no row."""
    kept = {"more": {"validation": 0.25, "seconds": 60}, "reason": {"validation": 0.5, "seconds": 150}}
    runs = [
        a_run("SASRec", 0, seconds=60),
        a_run("ReaRec ERL", 0, seconds=90, validation=0.2),
        a_run("ReaRec ERL", 1, seconds=150, validation=0.4),
        a_run("LASAR", 0, trained=kept | {"noise": {}}),
        a_run("LARES", 0, data="another shop"),
    ]
    parts.add(tmp_path, runs, {})
    assert parts.tried(parts.read(tmp_path).results, "shop").splitlines()[2:] == [
        "| ReaRec ERL | 0.3000 | 2.0 | 0.1000 | 1.0 |",
        "| LASAR (SFT), packed | 0.5000 | 2.5 | 0.2500 | 1.0 |",
    ]


def test_what_is_kept_of_a_runs_training(parts: Any) -> None:
    """The first of equal validations, as the stage keeps it; stages that validate nothing are left out."""
    log = [
        {"stage": "train", "step": 10, "loss": 2.0},
        {"stage": "train", "step": 20, "validation_ndcg@10": 0.25},
        {"stage": "train", "step": 40, "validation_ndcg@10": 0.25},
        {"stage": "train", "step": 45, "loss": 1.0},
        {"stage": "rl", "step": 0, "validation_ndcg@10": 0.5},
        {"stage": "rl", "step": 8, "validation_ndcg@10": 0.25},
        {"stage": "other", "step": 3, "loss": 1.0},
        {"stage": "anchors", "texts": 3},
    ]
    assert parts.trained(log) == {
        "train": {"updates": 45, "validation": 0.25, "kept": 20},
        "rl": {"updates": 8, "validation": 0.5, "kept": 0},
    }


def test_minutes_are_of_the_device_that_most_runs_had(load: Callable[[str], Any], parts: Any) -> None:
    """Of accelerators and of CPUs each."""
    tables = load("system_parts.tables")
    runs = [a_run("SASRec", seed, seconds=60 * (seed + 1), device="card") for seed in (0, 1)]
    runs += [
        a_run("SASRec", 2, seconds=9000, device="old card"),
        a_run("SASRec", 3, seconds=6000, device="1 CPU"),
    ]
    runs.append(a_run("GRU4Rec", 0, device="card", time={"device": "1 CPU", "seconds": 180}))
    shown = tables.table({"runs": [*runs, a_run("TIGER", 0, seconds=60, device="1 CPU")]}, "shop")
    assert "| 4 | " in shown
    assert "| 1.5 | 100.0 |" in shown  # seconds of 60 and 120 on the card
    assert "| 1.5 | 3.0 |" in shown
    assert "|  | 1.0 |" in shown
    assert shown.endswith("over seeds: card; 1 CPU.")
