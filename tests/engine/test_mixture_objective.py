"""The cross-entropy under a mixture: by hand, cross-fitted, and in a run that learns the prior's share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.dataset import Sequences
from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_kit.model.parts import restore_decoder
from lasar_kit.run import runner
from lasar_kit.spec import load_spec
from lasar_kit.stages.rl.rollouts import RolloutMaker
from lasar_plugins.decoder.trie.mixed import MixedTrie
from lasar_plugins.sft_objective.mixture.config import MixtureConfig
from lasar_plugins.sft_objective.mixture.objective import Mixture

CATALOGUE = Catalogue.discover()
TRAIN = Sequences.of([[0, 1, 2], [3, 4], [5, 6, 7, 8], [9, 9]])
HISTORY = torch.tensor([[0, 1, 2], [3, 4, -1], [5, 6, 7]])
ITEMS = torch.tensor([[1, 2], [1, 2], [2, 3]])
MASK = torch.tensor([[True, True], [True, False], [True, True]])
TARGETS = torch.arange(12).view(3, 2, 2)
USERS = torch.tensor([0, 1, 2])


def lesson(rows: Sequence[int] = (0, 1, 2)) -> Lesson:
    one = torch.zeros(3, 1, dtype=torch.int64)
    prompts = Prompts(one, one[:, 0], ITEMS - 1, MASK, ITEMS, one[:0, 0], HISTORY, USERS)
    return Lesson(prompts, TARGETS).take(rows)


def odds_of(state: float) -> float:
    return 0.5 * state - 0.3


def prior_of(train: Sequences, history: Sequence[int], tokens: Sequence[int]) -> float:
    """A number that tells apart training parts, histories and targets; 0 for one of the targets."""
    if list(tokens) == [2, 3]:
        return 0.0
    return (1 + int(train.items.sum()) % 7 + sum(history) + sum(tokens)) / 100


class Remembering:
    """Satisfies `Mixes`."""

    def __init__(self) -> None:
        self.asked = 0

    def odds(self, last: Tensor) -> Tensor:
        return 0.5 * last[..., 0] - 0.3

    def remembered(self, train: Sequences) -> Callable[..., np.ndarray]:
        def ask(histories: Sequence[np.ndarray], tokens: np.ndarray) -> np.ndarray:
            self.asked += len(histories)
            pairs = zip(histories, tokens, strict=True)
            return np.array([prior_of(train, history.tolist(), row.tolist()) for history, row in pairs])

        return ask


class View:
    """What the objective reads of a batch: states that hold their own place."""

    def __init__(self, lesson: Lesson, decoder: Any, states: Tensor) -> None:
        self.lesson, self.decoder = lesson, decoder
        self.trace = SimpleNamespace(last=states)
        self.answers = states[:, :, None].expand(-1, -1, 2, -1)

    def token_logp(self, states: Tensor, tokens: Tensor) -> Tensor:
        return -0.1 - 0.2 * states[..., 0].abs() - 0.05 * tokens


class replace_last:
    def __init__(self, last: Tensor) -> None:
        self.last = last


def expected(rows: Sequence[int], states: Tensor) -> float:
    total = 0.0
    for b in rows:
        kept = [TRAIN[user].tolist() for user in range(4) if user % 2 != int(USERS[b]) % 2]
        for r in range(2):
            if not MASK[b, r]:
                continue
            state, tokens = float(states[b, r, 0]), TARGETS[b, r].tolist()
            model = math.exp(sum(-0.1 - 0.2 * abs(state) - 0.05 * token for token in tokens))
            share = 1 / (1 + math.exp(-odds_of(state)))
            history = HISTORY[b, : ITEMS[b, r]].tolist()
            total -= math.log((1 - share) * model + share * prior_of(Sequences.of(kept), history, tokens))
    return total


def test_the_loss_by_hand_of_a_prior_fitted_on_other_users() -> None:
    objective = Mixture(MixtureConfig(use="mixture", folds=2), Env(train=TRAIN))
    states = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    decoder = Remembering()
    loss = objective.loss(View(lesson(), decoder, states))  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected((0, 1, 2), states.detach()), rel=1e-5)
    assert objective.count(lesson(), None) == 5
    (gradient,) = torch.autograd.grad(loss, states)
    assert gradient.isfinite().all()
    assert decoder.asked == 5
    for rows in ((2,), (1, 0)):  # what was asked before is known
        part = objective.loss(View(lesson(rows), decoder, states[list(rows)]))  # type: ignore[arg-type]
        assert part.item() == pytest.approx(expected(rows, states.detach()), rel=1e-5)
    assert decoder.asked == 5


def test_nothing_that_counts_is_no_loss() -> None:
    objective = Mixture(MixtureConfig(use="mixture", folds=2), Env(train=TRAIN))
    nobody = lesson()
    nobody = replace(nobody, prompts=replace(nobody.prompts, mask=torch.zeros_like(MASK)))
    view: Any = View(nobody, Remembering(), torch.zeros(3, 2, 4))
    assert float(objective.loss(view)) == objective.count(nobody, None) == 0


SPEC = """
name: shop
dataset: {use: demo, users: 60, items: 60}
max_history: 5
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: mixed_trie, width: 60, weight: 0.3, learned: true}
stages:
  tokenize: {use: tokenize, quantizer: {use: rq_kmeans, levels: 2, codes: 8}}
  ground: {use: sft, samples: packed, epochs: 4, eval_users: 10, eval_width: 60, score: trie, batch_size: 16,
           optimizer: {lr: 1.0e-2}, tasks: {next_item: 0}, objectives: [{objective: mixture}]}
  rl: {use: rl, epochs: 1, max_samples: 8, batch_size: 8, eval_users: 5, eval_width: 60,
       rollout: {use: mixed_trie, weight: 0.6, learned: true}}
  evaluate: {use: evaluate, keep: 60, beside: []}
  fixed: {use: evaluate, keep: 60, beside: [], decoder: {use: mixed_trie, width: 60, weight: 0.3}}
"""


@pytest.fixture(scope="module")
def rollouts() -> list[RolloutMaker]:
    """What the run's RL rolls out with."""
    return []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, rollouts: list[RolloutMaker]) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.yaml").write_text(SPEC)
    roll = RolloutMaker.roll

    def notes(maker: RolloutMaker, *given: Any) -> Any:
        rollouts.append(maker)
        return roll(maker, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RolloutMaker, "roll", notes)
        runner.run_spec(load_spec(folder / "shop.yaml", [], CATALOGUE), CATALOGUE, folder / "run", True)
    return folder / "run"


def test_the_share_is_learnt_and_kept_with_the_checkpoint(shop: Path) -> None:
    stages = shop / "stages"
    learnt = load_file(stages / "ground" / "decoder.safetensors")
    assert learnt["gate.weight"].any()
    assert float(learnt["gate.bias"]) > math.log(0.3 / 0.7)  # the demo's shop is easily remembered
    later = load_file(stages / "rl" / "decoder.safetensors")
    assert all(torch.equal(later[name], value) for name, value in learnt.items())
    assert load_file(shop / "model" / "decoder.safetensors").keys() == learnt.keys()
    texts = [(stages / name / "predictions.jsonl").read_text() for name in ("evaluate", "fixed")]
    assert texts[0] != texts[1]


def test_rl_rolls_out_by_the_share_that_was_learnt(shop: Path, rollouts: list[RolloutMaker]) -> None:
    learnt = load_file(shop / "stages" / "ground" / "decoder.safetensors")
    assert rollouts
    for made in rollouts:
        assert isinstance(made.decoder, MixedTrie)
        state = made.decoder.state_dict()
        assert all(torch.equal(state[name], value) for name, value in learnt.items())


@pytest.mark.parametrize(
    "prior",
    [
        "{use: run, run: runs/first}",
        "{use: blend, of: [{ranker: popularity}, {ranker: {use: run, run: runs/first}}]}",
    ],
)
def test_a_share_is_not_learnt_of_a_model_that_was_trained_before(tmp_path: Path, prior: str) -> None:
    """It was trained on all users, and cannot be fitted on those who are not asked about."""
    (tmp_path / "shop.yaml").write_text(SPEC)
    with pytest.raises(UserError) as caught:
        load_spec(tmp_path / "shop.yaml", [f"decoder.prior={prior}", "stages.rl=null"], CATALOGUE)
    assert [line.partition(": stages.")[2] for line in caught.value.lines] == [
        "ground.objectives: mixture fits the decoder's prior on some users and asks it about the others, and "
        "run 'first' was trained on all of them before; leave this and the decoder's 'learned' out and "
        "choose its 'weight' by validation, or set another 'prior'"
    ]
    fixed = ["decoder.learned=false", "stages.ground.objectives=[]", "stages.ground.tasks=null"]
    load_spec(tmp_path / "shop.yaml", [f"decoder.prior={prior}", "stages.rl=null", *fixed], CATALOGUE)


def mixed_config(**options: Any) -> Any:
    return CATALOGUE.config_class("decoder", "mixed_trie").model_validate(
        {"use": "mixed_trie", "learned": True, **options}, context={"catalogue": CATALOGUE}
    )


def test_a_share_is_taken_up_beside_the_prior_that_it_was_learnt_of_alone(shop: Path, tmp_path: Path) -> None:
    stored = shop / "stages" / "ground"
    learnt = load_file(stored / "decoder.safetensors")

    def restored(options: dict[str, Any], checkpoint: Path) -> bool:
        gate = nn.ModuleDict({"gate": nn.Linear(16, 1)})
        restore_decoder(gate, mixed_config(**options), checkpoint)
        return all(torch.equal(gate.state_dict()[name], value) for name, value in learnt.items())

    known = {"use": "item_knn_directed", "label": "memory"}
    for same in (
        {},
        {"weight": 0.7, "width": 9, "score": "vocabulary"},
        {"prior": known, "normalise": "sum"},
    ):
        assert restored(same, stored)
    told = "decoder: the decoder's weights that the model brings were learnt with other options: "
    for other, what in (
        ({"prior": "popularity"}, "prior popularity instead of item_knn_directed; take those of"),
        (
            {"prior": {"use": "item_knn_directed", "window": 1}},
            r"prior.window 1 instead of \d+; take those of",
        ),
        ({"normalise": "softmax"}, "normalise 'softmax' instead of None; take those of the spec's 'decoder'"),
    ):
        with pytest.raises(UserError, match=told + what):
            restored(other, stored)
    save_file(learnt, tmp_path / "decoder.safetensors")  # as before this was told
    assert restored({"prior": "popularity"}, tmp_path)


def test_a_decoder_without_weights_has_nothing_to_learn(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SPEC)
    told = (
        r"objectives: mixture trains weights of the decoder's own, and this trie_beam has none; set 'decoder"
    )
    with pytest.raises(UserError, match=told):
        load_spec(tmp_path / "shop.yaml", ["decoder={use: trie_beam, score: trie, width: 60}"], CATALOGUE)
