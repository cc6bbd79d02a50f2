"""Each check catches the component that breaks its law, and lets the sound double of that kind pass."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from lasar_kit.testing import checks_for, tiny
from lasar_kit.testing.broken import saboteurs
from lasar_kit.testing.checks import CONTRACTS
from lasar_kit.testing.contract import Check, Subject
from lasar_kit.testing.runner import run_check, run_checks

BROKEN = saboteurs()
EVERY = [(kind, check) for kind in CONTRACTS for check in checks_for(kind)]


def double(kind: str) -> Subject:
    return Subject(kind, "tiny", lambda env: tiny.DOUBLES[kind](None, env))


def test_every_check_has_its_saboteur() -> None:
    assert set(BROKEN) == {(kind, check.name) for kind, check in EVERY}


@pytest.mark.parametrize(("kind", "check"), [pytest.param(k, c, id=f"{k}-{c.name}") for k, c in EVERY])
def test_a_check_catches_its_saboteur(kind: str, check: Check) -> None:
    result = run_check(check, BROKEN[kind, check.name])
    assert not result.passed
    lines = result.message.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{check.name}: ")
    assert lines[1] == check.mend


class KeepsNorm(tiny.TinyLoop):
    """Feeds states as long as the embeddings were when it was first asked."""

    norm: Any = None

    def step(self, backbone: Any, h: Any, parent: Any, context: Any) -> Any:
        self.norm = backbone.embedding_norm() if self.norm is None else self.norm
        return super().step(backbone, self.norm * h / h.norm(dim=-1, keepdim=True), parent, context)


class KeepsScale(tiny.TinyAligner):
    """Divides by the largest state that it was first given."""

    scale: Any = None

    def loss(self, trace: Any, anchors: Any) -> Any:
        if self.scale is None and anchors.states.numel():
            self.scale = float(anchors.states.abs().max())
        return super().loss(trace, anchors) / (self.scale or 1.0)


class KeepsHead(tiny.TinyDecoder):
    """Searches by the model that it was first given, until another catalogue is bound."""

    def bind(self, table: Any) -> None:
        super().bind(table)
        self.model: Any = None

    def scores(self, backbone: Any, trace: Any) -> Any:
        self.model = deepcopy(backbone) if self.model is None else self.model
        return super().scores(self.model, trace)


class KeepsMean(tiny.TinyPolicy):
    """Centres states by a moving mean; its weights begin at zero, which hides it until they are trained."""

    mean: Any = 0.0

    def __init__(self, config: Any, env: Any) -> None:
        super().__init__(config, env)
        self.weight.data.zero_()

    def logits(self, prompt: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * prompt.h0.detach().float().mean((0, 1))
        return (prompt.h0.float() - self.mean) @ self.weight


@pytest.mark.parametrize(
    ("kind", "keeps"),
    [
        ("latent_loop", KeepsNorm),
        ("aligner", KeepsScale),
        ("decoder", KeepsHead),
        ("depth_policy", KeepsMean),
    ],
)
def test_what_is_kept_of_a_first_use_is_caught(kind: str, keeps: Any) -> None:
    named = next(check for check in checks_for(kind) if check.name == "earlier_uses_are_forgotten")
    result = run_check(named, Subject(kind, keeps.__name__, lambda env: keeps(None, env)))
    assert result.found.startswith("used before, on other weights, it differs: ")


NUMPY = ("text_encoder", "ranker")
TYPED = [kind for kind, contract in CONTRACTS.items() if contract.types and kind not in NUMPY]


@pytest.mark.parametrize("kind", TYPED)
def test_results_on_another_device_are_caught(kind: str) -> None:
    """On `meta`, which every machine has."""
    named = next(check for check in checks_for(kind) if check.name == "results_have_type_and_device")
    contract = CONTRACTS[kind]

    def elsewhere(component: Any, inputs: Any) -> dict[str, Any]:
        results = contract.act(component, inputs)
        return {name: results[name].to("meta") for name in contract.types}

    moved = copy(contract)
    moved.act = elsewhere  # type: ignore[method-assign]
    law = partial(named.law.func, moved)  # type: ignore[attr-defined]
    result = run_check(replace(named, law=law), double(kind))
    assert "is on meta, not on cpu" in result.found


@pytest.mark.parametrize("kind", list(CONTRACTS))
def test_the_double_passes(kind: str) -> None:
    assert [result.message for result in run_checks(double(kind)) if not result.ok] == []


@pytest.mark.parametrize("loop", [tiny.TinyHalter, tiny.TinyWriter])
def test_loops_that_can_do_more_pass(loop: Any) -> None:
    """The writer's depth only says whether it writes."""
    results = run_checks(Subject("latent_loop", loop.__name__, lambda env: loop(None, env)))
    broken = {result.check.name for result in results if not result.ok}
    writes = {"mask_counts_the_depth", "depth_is_felt", "answer_hangs_on_its_own_thoughts"}
    assert broken == (writes | {"many_tokens_and_thoughts_are_as_few"} if loop is tiny.TinyWriter else set())


@pytest.mark.parametrize(("kind", "check"), [pytest.param(k, c, id=f"{k}-{c.name}") for k, c in EVERY])
def test_a_check_says_its_law(kind: str, check: Check) -> None:
    assert check.says.endswith(".")
    assert check.mend.endswith(".")
