"""Explicit chain of thought, whole: trained, drawn, rewarded, kept in predictions and explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.values import Env, Judged
from lasar_kit.core.vocabulary import END_THINK, THINK
from lasar_kit.model.answers import AnswerScorer
from lasar_kit.run import runner
from lasar_kit.serve.explain import Explainer, explain
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.spec import load_spec
from lasar_kit.stages.rl.rollouts import RolloutMaker, Share
from lasar_kit.stages.rl.step import RlStep
from tests.small import SHOP

SPEC = f"""{SHOP}name: cot
dataset: {{users: 40}}
stages:
  ground: {{epochs: 1, eval_users: 4}}
  anchors: {{max_samples: 60}}
  reason:
    latent_loop: {{use: written, limit: 8}}
    depth_policy: {{use: fixed, depth: 1, others: [0]}}
    aligner: none
    rationale_tokens: 7
    objectives: [{{objective: rationale}}, {{objective: direct_answer}}]
    eval_users: 4
  rl:
    texts: own
    depth: argmax
    candidates: 4
    rollout: trie_sample
    rewards: [{{reward: prefix}}, {{reward: {{use: format_gate, pattern: Step}}}}]
    objectives: [{{objective: {{use: srpo, k: 2}}}}]
    max_samples: 8
    batch_size: 4
    gradient_accumulation: 2
    updates_per_rollout: 2
    refill: 1
    eval_users: 4
  direct: {{use: evaluate, depth: 0, beside: [], max_users: 6}}
  evaluate: {{use: evaluate, beside: [], max_users: 6}}
"""
CATALOGUE = Catalogue.discover()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run; not to be changed."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "spec.yaml").write_text(SPEC)
    runner.run_spec(load_spec(folder / "spec.yaml", (), CATALOGUE), CATALOGUE, folder / "run", True)
    return folder / "run"


@pytest.fixture(scope="module")
def model(run: Path) -> LoadedRun:
    return LoadedRun.load(run, CATALOGUE)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_texts_are_kept_and_can_be_read(run: Path, model: LoadedRun) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["direct"]["mean_words"] == metrics["direct"]["mean_depth"] == 0
    assert metrics["evaluate"]["mean_depth"] == 1
    assert 1 <= metrics["evaluate"]["mean_words"] <= 8
    assert {line["written"] for line in lines(run / "stages/direct/predictions.jsonl")} == {""}
    told = lines(run / "predictions.jsonl")
    assert any(line["written"] for line in told)
    assert not any(THINK in line["written"] or END_THINK in line["written"] for line in told)
    explainer = Explainer(model, None)
    for line in told[:3]:
        sequence = model.dataset.sequences[model.dataset.users.index(line["user"])]
        history = [model.dataset.items["id"][int(row)] for row in sequence[:-1]]
        before, after = explainer.explain(history, 2).stops
        assert (before.written, after.written) == ("", line["written"])
        assert [item.item for item in after.items] == line["items"][:2]


def test_explain_prints_the_text(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = next(line for line in lines(run / "predictions.jsonl") if line["written"].strip())
    model = LoadedRun.load(run, CATALOGUE)
    rows = model.dataset.sequences[model.dataset.users.index(line["user"])][:-1]
    explain(run, [("", [model.dataset.items["id"][int(row)] for row in rows])], 1, CATALOGUE)
    printed = capsys.readouterr().out
    assert "after 1 thought" in printed
    assert "  wrote     " in printed


def test_each_term_is_in_the_log(run: Path) -> None:
    told = lines(run / "log.jsonl")
    reason = [line for line in told if line["stage"] == "reason" and "loss" in line]
    assert {"loss_ce", "loss_rationale", "loss_direct_answer"} <= reason[-1].keys()
    rl = [line for line in told if line["stage"] == "rl" and "loss" in line]
    assert all({"mixed_groups", "advantage_rms", "kl", "refilled"} <= line.keys() for line in rl)


class FromText:
    """As many as the words of a candidate's text."""

    def reward(self, judged: Judged) -> torch.Tensor:
        assert judged.written is not None
        return (judged.written >= 0).sum(-1).float()


@pytest.mark.parametrize("made", [(0, 3), (1, 2)])
def test_a_candidate_is_its_own_text_and_answer(model: LoadedRun, made: tuple[int, int]) -> None:
    """Among others in a group, as it is read alone; the same rollouts in any share of a batch."""
    recommender, table = model.recommender, model.recommender.prompts.table
    histories = [model.dataset.train[user][:3].astype(np.int64) for user in range(3)]
    rows = histories[made[0] : made[1]]

    config = CATALOGUE.config_class("decoder", "trie_sample").model_validate({"use": "trie_sample"})
    decoder = CATALOGUE.build("decoder", config, Env(table=table, head=recommender.backbone.logits))
    decoder.bind(table)
    maker = RolloutMaker(
        recommender, decoder, [(1.0, FromText())], 4, Accelerator(), False, 0, width=1, own_texts=True
    )
    lesson = recommender.prompts.answered([(row[:-1], int(row[-1])) for row in rows])
    target = torch.tensor([int(row[-1]) for row in rows])
    history = torch.from_numpy(np.stack([row[:-1] for row in rows]))
    group = maker.make(lesson, target, history, Share(0, range(*made), 3))
    assert group.written is not None
    assert group.written.shape[:2] == group.items.shape == (len(rows), 4)
    assert torch.equal(group.rewards, (group.written >= 0).sum(-1).float())
    rollout = RlStep(recommender, recommender, {"srpo": srpo()}, None, "trie")(group).rollout  # type: ignore[arg-type]
    scorer = AnswerScorer(table, "trie", "cpu")
    with torch.no_grad():
        for b, row in enumerate(rows):
            texts = {tuple(text) for text in group.written[b].tolist()}
            assert len(texts) > 1, "drawn apart"
            for g in range(4):
                prompt = recommender.read(recommender.prompts.prompts([row[:-1]]))
                trace = recommender.latent_loop.spell(
                    recommender.backbone, prompt, group.written[b : b + 1, g : g + 1]
                )
                tokens = table.tokens[group.items[b, g]][None, None]
                states = recommender.answer_states(trace, tokens)
                logp = scorer.logp(recommender.backbone, states[:, 0], tokens[:, 0])
                torch.testing.assert_close(rollout.logp[b, g], logp[0], atol=1e-5, rtol=1e-4)
                for name in ("written_logp", "ref_written_logp"):
                    found = getattr(rollout, name)[b, g]
                    torch.testing.assert_close(found, trace.written_logp[0, 0], atol=1e-5, rtol=1e-4)
    if made == (1, 2):
        others = [row[:-1] for row in histories]
        whole = recommender.prompts.answered([(row, 0) for row in others])
        every = maker.roll(
            whole, torch.zeros(3).long(), torch.from_numpy(np.stack(others)), Share(0, range(3), 3)
        )
        assert every.written is not None
        assert torch.equal(every.items[1:2], group.items)
        width = min(every.written.shape[-1], group.written.shape[-1])
        assert torch.equal(every.written[1:2, :, :width], group.written[..., :width])


def srpo() -> Any:
    config = CATALOGUE.config_class("rl_objective", "srpo").model_validate({"use": "srpo", "k": 2})
    return CATALOGUE.build("rl_objective", config, Env())
