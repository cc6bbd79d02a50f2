"""The step of the RL stage against plain computations."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch

from lasar_kit.catalogue import Catalogue
from lasar_kit.core import token_logp
from lasar_kit.core.values import Env
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.rl.step import Group, RlResult, RlStep


def test_candidates_off_one_prompt_score_as_if_read_alone(
    build: Callable[..., Recommender], catalogue: Catalogue
) -> None:
    """The step's log-probabilities against transformers' own forward of each prompt and candidate."""
    recommender = build("minionerec")
    aligner = catalogue.build("aligner", catalogue.config_class("aligner", "none")(use="none"), Env())
    seen = {}

    class Keeps:
        exact_kl = True
        reads_answers = True

        def loss(self, rollout):  # type: ignore[no-untyped-def]
            seen["rollout"] = rollout
            return rollout.logp.sum(), {}

    step = RlStep(recommender, recommender, {"keeps": Keeps()}, aligner, "trie")  # type: ignore[dict-item]
    histories = [np.array([3, 9]), np.array([7, 8, 11, 2])]
    batch = recommender.prompts.answered([(row, 5) for row in histories])
    items = torch.tensor([[5, 1, 20], [4, 29, -1]])
    zero = torch.zeros(2, dtype=torch.long)
    step(Group(batch, items, torch.zeros(2, 3), zero, zero, torch.zeros(())))
    rollout = seen["rollout"]
    assert rollout.valid.tolist() == [[True, True, True], [True, True, False]]
    assert torch.allclose(rollout.ref_kl, torch.zeros(()), atol=1e-6)
    catalogue_tokens = recommender.prompts.tokens.tolist()
    for row, history in enumerate(histories):
        prompt = recommender.prompts.prompts([history]).ids[0].tolist()
        for place, item in enumerate(items[row].tolist()):
            if item < 0:
                continue
            answer = catalogue_tokens[item]
            with torch.no_grad():
                logits = recommender.backbone.model(torch.tensor([prompt + answer[:-1]])).logits[
                    0, len(prompt) - 1 :
                ]
            for level, token in enumerate(answer):
                allowed = sorted({i[level] for i in catalogue_tokens if i[:level] == answer[:level]})
                expected = float(logits[level, token] - logits[level, allowed].logsumexp(0))
                assert rollout.logp[row, place, level].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("score", ["trie", "vocabulary"])
def test_exact_kl_of_one_candidate_at_a_time_is_that_of_all(
    build: Callable[..., Recommender],
    catalogue: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    score: Literal["trie", "vocabulary"],
) -> None:
    """Where logits are too many at once; and its gradient."""
    recommender, other = build(), build()
    with torch.no_grad():
        other.backbone.model.get_input_embeddings().weight.mul_(1.5)
    aligner = catalogue.build("aligner", catalogue.config_class("aligner", "none")(use="none"), Env())

    class Divergence:
        exact_kl = reads_answers = True

        def loss(self, rollout):  # type: ignore[no-untyped-def]
            return rollout.ref_kl.sum(), {}

    step = RlStep(recommender, other, {"kl": Divergence()}, aligner, score)  # type: ignore[dict-item]
    batch = recommender.prompts.answered([(np.array(row), 5) for row in ([3, 9], [7, 8, 11, 2])])
    items, zero = torch.tensor([[5, 1, 20], [4, 29, 2]]), torch.zeros(2, dtype=torch.long)
    found = []
    for cells in (2**28, 1):
        monkeypatch.setattr(token_logp, "CELLS", cells)
        monkeypatch.setattr(token_logp, "PART", cells)
        recommender.backbone.zero_grad()
        loss = step(Group(batch, items, torch.zeros(2, 3), zero, zero, torch.zeros(()))).sums["kl"]
        loss.backward()
        found.append((loss.detach(), recommender.backbone.model.get_input_embeddings().weight.grad))
    assert found[0][0] > 1e-3
    torch.testing.assert_close(found[0], found[1])


def test_answers_that_no_objective_reads_are_not_scored(
    build: Callable[..., Recommender], catalogue: Catalogue
) -> None:
    """Without a reference, and without a thought: the depth's log-probabilities are the same."""
    recommender = build(thinks=True)
    aligner = catalogue.build("aligner", catalogue.config_class("aligner", "none")(use="none"), Env())
    seen = {}

    class Depth:
        exact_kl = False

        def __init__(self, reads_answers: bool) -> None:
            self.reads_answers = reads_answers

        def loss(self, rollout):  # type: ignore[no-untyped-def]
            seen[self.reads_answers] = rollout
            return -rollout.depth_logp[:, 0].mean(), {}

    batch = recommender.prompts.answered([(np.array(row), 5) for row in ([3, 9], [7, 8, 11, 2])])
    depth = torch.tensor([3, 1])
    group = Group(batch, torch.tensor([[5], [-1]]), torch.ones(2, 1), depth, depth - 1, torch.ones(()))
    losses = []
    for reads, reference in ((True, recommender), (False, None)):
        step = RlStep(recommender, reference, {"depth": Depth(reads)}, aligner, "trie")  # type: ignore[arg-type, dict-item]
        if not reads:
            recommender.latent_loop = None  # type: ignore[assignment]
        losses.append(step(group).sums["depth"])
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(seen[True].depth_logp, seen[False].depth_logp)
    assert seen[True].logp[0].isfinite().all()
    assert seen[False].logp.shape == seen[True].logp.shape
    assert torch.cat([seen[False].logp, seen[False].old_logp, seen[False].ref_logp]).isnan().all()


def test_a_reference_that_no_objective_reads_is_not_asked(
    build: Callable[..., Recommender], catalogue: Catalogue
) -> None:
    """GRPO without a KL, beside REINFORCE: one model reads the prompt, and the losses are those that came of
    two; with a KL there must be two."""
    recommender = build(thinks=True)
    aligner = catalogue.build("aligner", catalogue.config_class("aligner", "none")(use="none"), Env())
    batch = recommender.prompts.answered([(np.array(row), 5) for row in ([3, 9], [7, 8, 11, 2])])
    depth = torch.tensor([3, 1])
    rewards = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    group = Group(batch, torch.tensor([[5, 1], [4, 5]]), rewards, depth, depth - 1, torch.ones(()))

    def built(name: str, **options: object) -> Any:
        config = catalogue.config_class("rl_objective", name).model_validate({"use": name, **options})
        return catalogue.build("rl_objective", config, Env())

    def step(reference: Recommender | None, beta: float) -> RlResult:
        objectives = {"grpo": built("grpo", beta=beta), "reinforce": built("reinforce")}
        result: RlResult = RlStep(recommender, reference, objectives, aligner, "trie")(group)
        return result

    alone, beside = step(None, 0.0), step(recommender.frozen(), 1e-9)
    assert alone.rollout.ref_logp.isnan().all()
    assert alone.rollout.ref_kl is None
    assert "kl" not in alone.numbers
    assert beside.rollout.ref_logp.isfinite().all()
    for name, loss in beside.sums.items():
        assert alone.sums[name].item() == pytest.approx(loss.item(), abs=1e-6)
    with pytest.raises(AssertionError, match="reference"):
        step(None, 1e-9)
