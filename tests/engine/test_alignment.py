"""Alignment's mean in SFT, what it is over, and the head that reads the anchors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.depth import greedy_depth
from lasar_kit.run import runner
from lasar_kit.train.alignment import frozen_head
from lasar_kit.train.updater import Term, Update, Updater
from tests.engine.test_reasoning_run import SPEC, load

SHORT = (
    "stages.ground.epochs=1",
    "stages.reason.epochs=0.5",
    "stages.anchors.max_samples=150",
    "stages.reason.batch_size=16",
)


def run(folder: Path, *overrides: str) -> Path:
    loaded, catalogue = load(folder, *SHORT, *overrides)
    runner.run_spec(loaded, catalogue, folder / "run", True)
    return folder / "run"


@pytest.mark.parametrize(
    "overrides",
    [
        ("stages.reason.depth=policy", "stages.reason.gradient_accumulation=3"),
        ("stages.reason.depth=at_least_label",),
        ("stages.reason.depth_policy={use: fixed, depth: 2}", "stages.reason.samples=sliding"),
    ],
    ids=str,
)
def test_prompts_that_think_too_long_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    """Against the depths at which a step's own loop ran, and the loss against that over these prompts."""
    whole = Updater.update
    seen: list[tuple[int, int, float, float]] = []

    def update(self: Updater, passes: Sequence[Any], terms: Mapping[str, Term]) -> Update:
        if "align" not in terms:
            return whole(self, passes, terms)
        step, counts, sums = self.plain, [], []
        held_by = step.objectives["align"].aligner
        loss = held_by.loss

        def spy(trace: Any, anchors: Any) -> Any:
            found = loss(trace, anchors)
            thoughts, segments = trace.mask.sum(-1), anchors.mask.sum(-1)
            held = (segments > 0) & (thoughts <= segments)
            counts.append(int(held.sum()))
            sums.append(float(found.detach()[held].sum()))
            return found

        held_by.loss = spy
        made = whole(self, passes, terms)
        held_by.loss = loss
        seen.append((terms["align"].count, sum(counts), made.terms["align"], sum(sums)))
        assert terms["policy"].count >= terms["align"].count
        return made

    monkeypatch.setattr(Updater, "update", update)
    run(tmp_path, "stages.reason.aligner={use: stepwise, excess: skip}", *overrides)
    assert len(seen) > 1
    for count, expected, mean, total in seen:
        assert count == expected
        assert mean == pytest.approx(total / max(count, 1), rel=1e-4)
    assert any(count for count, *_ in seen)


@pytest.mark.parametrize("stage", ["reason", "rl"])
def test_anchors_are_read_by_the_head_of_the_backbone_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """`reason` begins anew, and RL goes on from `reason`: neither has the head of `ground`."""
    heads: dict[str, Any] = {}

    build, wanted = Catalogue.build, "stepwise" if stage == "reason" else "terminal"

    def keep(self: Catalogue, kind: str, config: Any, env: Any) -> Any:
        built = build(self, kind, config, env)
        if kind == "aligner" and config.use == wanted:
            heads["found"] = built.compare.anchor_head(torch.eye(16))
            heads["own"] = env.head(torch.eye(16)).detach().clone()
        return built

    monkeypatch.setattr(Catalogue, "build", keep)
    overrides = ["stages.reason.fresh=true", "stages.reason.aligner={use: stepwise, space: vocab}"]
    if stage == "rl":
        spec = SPEC.replace("  rl: null", "  rl: {max_samples: 16, batch_size: 8}")
        monkeypatch.setattr("tests.engine.test_reasoning_run.SPEC", spec)
        overrides.append("stages.rl.aligner={use: terminal, space: vocab}")
    folder = run(tmp_path, *overrides)
    head = AutoModelForCausalLM.from_pretrained(folder / "stages" / "ground").get_output_embeddings().weight
    torch.testing.assert_close(heads["found"], head.detach().T)
    assert not torch.allclose(heads["own"], head.detach().T, atol=1e-4)


class Net(nn.Module):
    """A head of three tokens over two coordinates."""

    hidden_size = 2

    def __init__(self, cap: float | None) -> None:
        super().__init__()
        self.cap = cap
        self.head = nn.Linear(2, 3)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*ids.shape, 2)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(hidden)
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


@pytest.mark.parametrize("cap", [None, 0.5])
def test_a_frozen_head_is_that_of_the_moment(cap: float | None) -> None:
    """With a bias, and where logits are not linear in the states."""
    torch.manual_seed(0)
    net, states = Net(cap), 3 * torch.randn(4, 2)
    before = net.logits(states).detach()
    head = frozen_head(net)
    torch.testing.assert_close(head(states).detach(), before)
    if cap is None:
        nn.init.zeros_(net.head.weight)
        torch.testing.assert_close(head(states).detach(), before)


def test_the_policys_depth_is_asked_before_the_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`depths` tells what the policy finds best in evaluation mode."""
    told: list[torch.Tensor] = []
    depths = Updater.depths

    def spy(self: Updater, batch: Any) -> torch.Tensor:
        found = depths(self, batch)
        recommender = self.plain.recommender
        assert not recommender.training
        with torch.no_grad():
            assert torch.equal(found, greedy_depth(recommender.depth_policy, recommender.read(batch.prompts)))
        told.append(found)
        return found

    monkeypatch.setattr(Updater, "depths", spy)
    run(tmp_path, "stages.reason.aligner={use: stepwise, excess: skip}", "stages.reason.depth=policy")
    assert told
