"""The probe of adaptive depth, on the tutorial's own questions: RL finds out how long to think.

With two fifths of its nodes and three hops of four, and so a quarter of what an epoch costs, and the first 80
updates of RL, which has found the depths by then.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy import stats

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env
from lasar_kit.run import runner
from lasar_kit.serve.explain import Explainer
from lasar_kit.spec import load_spec

TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials"
SHORTER = (
    "dataset.nodes=120",
    "dataset.hops=3",
    "stages.anchors.teacher.nodes=120",
    "stages.reason.depth_policy.n_max=6",  # twice the hops, as there
    "stages.reason.batch_size=126",  # two updates an epoch
    "stages.reason.eval_every=120",
    "stages.rl.epochs=80",
    "stages.rl.eval_every=80",
    "stages.rl.batch_size=252",  # all training questions, as there
)


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(TUTORIALS / "depth_probe.py"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalogue, output = Catalogue.discover(), tmp_path_factory.mktemp("runs") / "probe"
    spec = load_spec(TUTORIALS / "depth_probe.yaml", SHORTER, catalogue)
    runner.run_spec(spec, catalogue, output, True)
    return output


def test_rl_learns_how_many_hops_a_held_out_question_takes(finished: Path, script: dict[str, Any]) -> None:
    before, after = (script["answers"](finished, stage) for stage in ("think", "evaluate"))
    assert len(before) == len(after) == 54
    assert before["hops"].to_list() == after["hops"].to_list()
    assert set(before["depth"]) == {6}
    assert stats.spearmanr(after["depth"], after["hops"]).statistic >= 0.8
    assert after["depth"].mean() < before["depth"].mean() / 2
    assert after["right"].mean() >= before["right"].mean()


def test_the_table_is_that_of_the_predictions(
    finished: Path, script: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    script["main"](finished)
    *rows, last = capsys.readouterr().out.splitlines()
    after = script["answers"](finished, "evaluate")
    expected = stats.spearmanr(after["depth"], after["hops"]).statistic
    assert last == f"Spearman of depth and hops behind RL: {expected:.3f}"
    assert [row.split()[0] for row in rows] == ["hops", "1", "2", "3", "all"]
    of_two = after.filter(pl.col("hops") == 2)
    assert rows[2].split()[1] == str(len(of_two))
    assert rows[2].split()[4:] == [f"{of_two['depth'].mean():.2f}", f"{of_two['right'].mean():.3f}"]


def test_thought_t_names_the_node_after_t_hops(finished: Path) -> None:
    """As `explain` tells of all kinds of questions; behind the last hop thoughts stand still."""
    catalogue = Catalogue.discover()
    spec = load_spec(TUTORIALS / "depth_probe.yaml", SHORTER, catalogue).spec
    dataset = catalogue.build("dataset", spec.dataset, Env(seed=spec.seed)).load()
    titles, ids = dataset.items["title"].to_list(), dataset.items["id"].to_list()
    follows = {
        int(title.removeprefix("1 hops from node ")): int(dataset.sequences[row][1])
        for row, title in enumerate(titles[item] for item in dataset.sequences.items[::2])
        if title.startswith("1 hops")
    }
    explainer = Explainer.load(finished, catalogue)
    named, nearest, hops = [], [], []
    for user in dataset.users[::7]:
        node, most = map(int, user.split("+"))
        told = explainer.explain([f"<a_{node}><b_{most}>"], 1, 4)
        for stop in told.stops[1:]:
            if stop.thoughts <= most:
                node = follows[node]
            named.append(stop.items[0].item == ids[node])
            nearest.append(stop.nearest[0].text == f"<a_{node}>")
            hops.append(stop.thoughts)
    right = pl.DataFrame({"thought": hops, "named": named, "nearest": nearest})
    assert right["named"].mean() > 0.7
