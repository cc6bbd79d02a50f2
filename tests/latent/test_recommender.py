"""The loop and the learned depth inside a whole recommender, with the trie decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.depth import greedy_depth
from lasar_kit.core.values import Env
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import Misfit, Parts
from lasar_kit.model.ranking import rank_users
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.sft.step import SftStep
from lasar_kit.testing.strategies import prompt_of
from lasar_plugins.sft_objective.answer.config import AnswerConfig
from lasar_plugins.sft_objective.answer.objective import Answer
from tests.closeness import assert_same, in_float64

HISTORIES = [
    np.random.default_rng(seed).integers(0, 30, size) for seed, size in enumerate((5, 1, 3, 6, 2, 1, 4))
]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.discover()


@pytest.fixture(scope="session")
def sids() -> Sids:
    leaves = torch.randperm(60, generator=torch.Generator().manual_seed(3))[:30]
    return Sids(torch.stack([leaves // 12, leaves // 3 % 4, leaves % 3], dim=1), (5, 4, 3))


@pytest.fixture(scope="session")
def config(catalogue: Catalogue) -> Callable[..., Any]:
    def make(kind: str, name: str, **options: object) -> Any:
        return catalogue.config_class(kind, name).model_validate(
            {"use": name, **options}, context={"catalogue": catalogue}
        )

    return make


@pytest.fixture
def build(catalogue: Catalogue, sids: Sids, config: Callable[..., Any]) -> Callable[..., Recommender]:
    """A recommender that thinks, with a policy that chooses different depths for different prompts."""

    def make(**loop: object) -> Recommender:
        sizes = {"hidden_size": 16, "layers": 2, "heads": 2, "text_vocabulary": 300, "initializer_std": 0.2}
        parts = Parts(
            config("backbone", "qwen3", **sizes),
            config("prompt", "sid_only"),
            config("latent_loop", "coconut", **loop),
            config("depth_policy", "mlp", n_max=4, allow_zero=True),
            6,
        )
        env = Env(seed=5, vocabulary=sids.vocabulary, corpus=lambda: ["soap and brush"])
        decoder = config("decoder", "trie_beam", width=10)
        recommender = Recommender.build(catalogue, parts, decoder, sids, env).eval()
        with torch.no_grad():
            recommender.depth_policy.output.weight.mul_(200)
        return recommender

    return make


@pytest.mark.parametrize(
    "loop",
    [
        {},
        {"exit": "hN_as_input", "feedback_scale": "projection"},
        {"exit": "direct", "feedback_scale": "embedding_rms"},
    ],
)
def test_a_user_is_ranked_alone_as_in_a_batch(
    build: Callable[..., Recommender], loop: dict[str, object]
) -> None:
    recommender = build(**loop)
    together = rank_users(recommender, HISTORIES, 10, 7, Accelerator())
    assert len(set(together.depth.tolist())) >= 3
    for user, history in enumerate(HISTORIES):
        alone = rank_users(recommender, [history], 10, 1, Accelerator())
        assert together.items[user].tolist() == alone.items[0].tolist()
        assert together.depth[user] == alone.depth[0]
        assert together.scores[user] == pytest.approx(alone.scores[0], abs=1e-4)


def test_what_begins_thoughts_may_be_read_with_the_prompt(build: Callable[..., Recommender]) -> None:
    """Of a prompt that is all of its chain, without gradients; what is thought behind it stays the same."""
    recommender = in_float64(build())
    prompts = recommender.prompts.prompts(HISTORIES)
    depth = torch.arange(len(HISTORIES))[:, None] % 4
    assert recommender.read(prompts).opened is None
    with torch.no_grad():
        together, apart = recommender.read(prompts), recommender.read(replace(prompts, whole=False))
        assert together.opened is not None
        assert apart.opened is None
        assert together.states.shape == apart.states.shape
        assert_same(together.h0, apart.h0)
        read = [recommender.think(prompt.branched(2), depth.expand(-1, 2)) for prompt in (together, apart)]
        assert_same(read[0].last, read[1].last)
        assert_same(read[0].states[read[0].mask], read[1].states[read[1].mask])
        answers = [recommender.search(trace, 10) for trace in read]
    assert answers[0].items.tolist() == answers[1].items.tolist()


def test_scores_are_those_of_plain_forwards(
    build: Callable[..., Recommender], sids: Sids, plain: Callable[..., Any]
) -> None:
    """Log-probabilities of whole sequences, from the model's own head and without cache, for every user."""
    recommender = build()
    backbone = recommender.backbone
    table = recommender.prompts.table.tokens
    ranking = rank_users(recommender, HISTORIES, 10, 3, Accelerator())
    for user, history in enumerate(HISTORIES):
        batch = recommender.prompts.prompts([history])
        with torch.no_grad():
            prompt = backbone.embed(batch.ids[0])
            h0 = backbone.model.model(inputs_embeds=prompt[None], use_cache=False).last_hidden_state[:, -1:]
            depth = int(greedy_depth(recommender.depth_policy, prompt_of(h0)))
            for item, score in list(zip(ranking.items[user], ranking.scores[user], strict=True))[:3]:
                answer = table[int(item)]
                _, states = plain(backbone, recommender.latent_loop, prompt, depth, answer.tolist())
                logp = backbone.model.lm_head(states[:-1]).log_softmax(-1)
                assert float(logp.gather(1, answer[:, None]).sum()) == pytest.approx(float(score), abs=1e-4)
        assert depth == ranking.depth[user]


def test_packed_training_has_the_loss_and_gradients_of_one_sample_each(
    build: Callable[..., Recommender],
) -> None:
    """Every item of a window answers the items before it, thought about on a branch of its own."""
    recommender = build(feedback_scale="projection")
    step = SftStep(recommender, "vocabulary", {"ce": Answer(AnswerConfig(use="answer"), Env())})
    windows = [history for history in HISTORIES if len(history) > 1]
    packed = recommender.prompts.packed(windows, transparent=recommender.latent_loop.transparent)
    assert not packed.inline
    samples = [(window[:end], int(window[end])) for window in windows for end in range(1, len(window))]
    weights = [*recommender.backbone.parameters(), *recommender.latent_loop.parameters()]
    losses, gradients = [], []
    for batch in (packed, recommender.prompts.answered(samples)):
        loss = step(batch).sums["ce"]
        losses.append(float(loss.detach()))
        gradients.append(torch.autograd.grad(loss, weights))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=1e-3)


def test_saved_and_loaded_it_ranks_the_same(
    build: Callable[..., Recommender],
    catalogue: Catalogue,
    sids: Sids,
    config: Callable[..., Any],
    tmp_path: Path,
) -> None:
    recommender = build(feedback_scale="projection")
    with torch.no_grad():
        recommender.latent_loop.projection.linear.weight.add_(
            torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
        )
    recommender.save(tmp_path)
    again = Recommender.load(
        tmp_path, catalogue, config("decoder", "trie_beam", width=10), sids, Env(seed=99)
    ).eval()
    one, other = (rank_users(x, HISTORIES, 10, 7, Accelerator()) for x in (recommender, again))
    assert one.items.tolist() == other.items.tolist()
    assert one.scores.tolist() == other.scores.tolist()
    assert one.depth.tolist() == other.depth.tolist()


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("depth_policy", {"use": "mlp", "n_max": 7, "allow_zero": True}, "n_max 7 instead of 4"),
        ("depth_policy", {"use": "mlp", "n_max": 4}, "allow_zero False instead of True"),
        ("latent_loop", {"use": "coconut"}, "feedback_scale 'none' instead of 'projection'"),
    ],
)
def test_options_that_do_not_fit_a_checkpoint_are_told(
    build: Callable[..., Recommender],
    config: Callable[..., Any],
    catalogue: Catalogue,
    sids: Sids,
    tmp_path: Path,
    kind: str,
    options: dict[str, Any],
    told: str,
) -> None:
    """The decoder of 4 depths and 0; what fits, or is not yet there, is taken."""
    first = build(feedback_scale="projection")
    first.save(tmp_path)
    env = Env(checkpoint=tmp_path, vocabulary=sids.vocabulary)
    decoder = config("decoder", "trie_beam", width=10)
    Recommender.build(catalogue, first.parts, decoder, sids, env)
    name = options.pop("use")
    parts = replace(first.parts, **{kind: config(kind, name, **options)})
    with pytest.raises(Misfit, match=f"^{kind}: the checkpoint's weights do not fit {told}; leave this"):
        Recommender.build(catalogue, parts, decoder, sids, env)
    (tmp_path / f"{kind}.safetensors").unlink()
    Recommender.build(catalogue, parts, decoder, sids, env)
