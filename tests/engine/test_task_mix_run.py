"""Training with the whole mix of tasks: what is logged, and that processes and passes change nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import samples
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.stages.sft.config import SftConfig
from lasar_kit.stages.sft.stage import _SftTraining
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.train.updater import Update, Updater
from lasar_plugins.sft_objective.answer.config import AnswerConfig
from lasar_plugins.sft_objective.answer.objective import Answer
from lasar_plugins.sft_objective.text.config import ItemTextConfig
from lasar_plugins.sft_objective.text.plain import ItemText
from tests.engine.text_tasks import shop, surroundings, tasks_of
from tests.small import SHOP

SPEC = (
    SHOP
    + """
name: mix
stages:
  ground:
    epochs: 6
    batch_size: 20
    eval_every: 3
    log_every: 1
    optimizer: {lr: 1.0e-2}
    gradient_accumulation: 2
    tasks:
      next_item: 0.5
      text_to_sid: 0.2
      sid_to_text: 0.3
      history_to_title: 0.4
      titles_to_sid: 0.6
      intention_to_sid: 0.25
      history_to_preference: 0.35
      max_samples: 30
      batch_size: 6
    text: {weight: 0.7, batch_size: 4}
    reasoning_text: {weight: 0.8, batch_size: 4, max_samples: 30, max_tokens: 40}
  anchors: null
  reason: null
  rl: null
  evaluate: null
"""
)
WEIGHTS = {
    "ce": 0.5,
    "text_to_sid": 0.2,
    "sid_to_text": 0.3,
    "history_to_title": 0.4,
    "titles_to_sid": 0.6,
    "intention_to_sid": 0.25,
    "history_to_preference": 0.35,
    "text": 0.7,
    "reasoning_text": 0.8,
}


def run(folder: Path, *overrides: str) -> Path:
    (folder / "mix.yaml").write_text(SPEC)
    catalogue = Catalogue.discover()
    runner.run_spec(load_spec(folder / "mix.yaml", overrides, catalogue), catalogue, folder / "mix", True)
    return folder / "mix"


def test_every_task_is_logged_by_name_adds_up_and_is_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, update = [], Updater.update

    def watched(self: Updater, passes: Any, terms: Any) -> Update:
        counts.append({name: term.count for name, term in terms.items()})
        return update(self, passes, terms)

    monkeypatch.setattr(Updater, "update", watched)
    folder = run(tmp_path)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert {name for name in steps[0] if name.startswith("loss_")} == {f"loss_{name}" for name in WEIGHTS}
    for line in steps:
        total = sum(weight * line[f"loss_{name}"] for name, weight in WEIGHTS.items())
        assert line["loss"] == pytest.approx(total, rel=1e-5)
    for name in WEIGHTS:
        values = [line[f"loss_{name}"] for line in steps]
        assert np.mean(values[-3:]) < np.mean(values[:3]), name
    report = json.loads((folder / "stages" / "ground" / "artifact.json").read_text())["report"]
    last = [line for line in steps if line["epoch"] > 5]
    over = {name: [count[name] for count in counts[-len(last) :]] for name in WEIGHTS}
    assert len({*over["ce"]}) > 1, "the last batch of an epoch is short"
    expected = {
        name: np.average([line[f"loss_{name}"] for line in last], weights=over[name]) for name in WEIGHTS
    }
    assert report["losses"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("stages.ground.tasks={titles_to_sid: 1}", "tasks.titles_to_sid"),
        ("stages.ground.tasks={sid_to_text: 1}", "tasks.sid_to_text"),
        ("stages.ground.text={weight: 1}", "text"),
    ],
)
def test_a_task_that_the_data_have_no_text_for(tmp_path: Path, override: str, key: str) -> None:
    rows = "".join(f"u{user},i{(user * 3 + n * n) % 11},{n}\n" for user in range(12) for n in range(6))
    (tmp_path / "seen.csv").write_text("user,item,time\n" + rows)
    overrides = (
        f"dataset={{use: csv, interactions: {tmp_path / 'seen.csv'}}}",
        "stages.tokenize.text_encoder=cooccurrence",
        "stages.ground.reasoning_text=null",
        "stages.ground.text=null",
        "stages.ground.tasks=null",
        override,
    )
    with pytest.raises(
        UserError, match=rf"^stages\.ground\.{key}: the data set has no text for this; leave it out, "
    ):
        run(tmp_path, *overrides)


@pytest.mark.parametrize("rule", ["packed", "sliding"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_losses_do_not_depend_on_processes_and_passes(
    build: Callable[..., Recommender], sids: Sids, rule: str, count: int
) -> None:
    """The sums over all passes of all processes; with one or two windows some of them have nothing to do."""
    model = build("sid_only")
    dataset = shop([f"thing {n}" for n in range(30)], [[n, *range(2, 9 + n % 4)] for n in range(9)])
    objectives: dict[str, Any] = {"ce": Answer(AnswerConfig(use="answer"), Env())}
    objectives |= {task.frame: task for task in tasks_of(model, sids, dataset, seed=2, batch_size=5)}
    objectives["text"] = ItemText(
        ItemTextConfig(use="item_text", batch_size=3), surroundings(model, sids, dataset, seed=2)
    )
    made = {"packed": samples.packed, "sliding": samples.sliding}[rule](dataset.train, 6)
    windows, step = made[:count], SftStep(model, "vocabulary", objectives)

    def sums(processes: int, passes: int) -> dict[str, float]:
        total: dict[str, float] = {}
        made_passes = set()
        for process in range(processes):
            training = object.__new__(_SftTraining)
            training.config = SftConfig.model_validate(
                {"use": "sft", "samples": rule, "gradient_accumulation": passes},
                context={"catalogue": Catalogue.discover()},
            )
            training.accelerator = SimpleNamespace(  # type: ignore[assignment]
                process_index=process, num_processes=processes, device="cpu"
            )
            training.seed, training.done, training.anchors, training.rationales = 2, 5, None, None
            training.per_epoch = 1
            training.recommender, training.train = model, _train(dataset.train)
            training.terms = {name: (1.0, objective) for name, objective in objectives.items()}
            mine = training._passes(windows)
            made_passes.add(len(mine))
            for lesson, weight in mine:
                found = step(lesson).sums
                assert set(found) == set(objectives)
                for name, value in found.items():
                    total[name] = total.get(name, 0.0) + weight * value.item()
        assert len(made_passes) == 1, "every process must make as many passes"
        return total

    whole = sums(1, 1)
    assert all(value > 0 for value in whole.values())
    for processes, passes in ((1, 3), (2, 1), (2, 2), (3, 2), (4, 1)):
        assert sums(processes, passes) == pytest.approx(whole, rel=1e-5)


def _train(train: Sequences) -> Sequences:
    return Sequences(train.offsets, train.items % 30)
