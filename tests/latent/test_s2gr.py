"""A thought before each token: against whole forwards, and its term by hand on three items."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lasar_kit.catalogue import Catalogue
from lasar_kit.core.chains import read_chains
from lasar_kit.core.lesson import Lesson, Prompts
from lasar_kit.core.values import Context, Env, LatentTrace, Prompt, SidTable
from lasar_kit.core.vocabulary import LATENT_TOKENS, sid_tokens
from lasar_kit.model.recommender import Recommender
from lasar_plugins.backbone.sasrec.backbone import SasRec
from lasar_plugins.backbone.sasrec.config import SasRecConfig
from lasar_plugins.decoder.trie.config import TrieBeamConfig
from lasar_plugins.decoder.trie.decoder import TrieBeam
from lasar_plugins.sft_objective.s2gr.objective import S2gr
from tests.closeness import assert_same

Make = Callable[..., Any]
CATALOGUE = Catalogue.discover()


def loop(**options: Any) -> Any:
    """The embeddings of thoughts moved away from their small start."""
    config = CATALOGUE.config_class("latent_loop", "s2gr").model_validate({"use": "s2gr", **options})
    made = CATALOGUE.build("latent_loop", config, Env(seed=2, hidden_size=16)).eval()
    with torch.no_grad():
        made.positions.weight.mul_(10)
    return made


def forward(backbone: Any, sequence: Tensor) -> Tensor:
    states: Tensor = backbone.model.model(inputs_embeds=sequence[None], use_cache=False).last_hidden_state
    return states[0]


@pytest.mark.parametrize(
    ("feeds", "scale"), [("state", "none"), ("state", "embedding_rms"), ("token", "none")]
)
@torch.no_grad()
def test_thoughts_stand_before_every_token(
    double: Make, case: Any, run: Make, feeds: str, scale: str
) -> None:
    """Thought t is fed h_{t-1} + p_t behind the prompt, then behind each token of the answer."""
    backbone, made = double(), loop(feeds=feeds, feedback_scale=scale).double()
    table, norm = backbone.model.get_input_embeddings().weight, backbone.embedding_norm()
    outcome = run(backbone, made, case, surplus=1)
    for b, r in product(range(2), range(3)):
        only = case.only(b, r)
        sequence, expected, first = backbone.embed(torch.tensor(only.rows[0])), [], []
        for token in (None, *only.answer[0][0]):
            if token is not None:
                sequence = torch.cat([sequence, table[[token]]])
            h = forward(backbone, sequence)[-1]
            for step in range(only.depth[0][0]):
                state = h if scale == "none" else h / h.norm() * norm
                fed = made.positions.weight[step] + (state if feeds == "state" else 0)
                sequence = torch.cat([sequence, fed[None]])
                h = forward(backbone, sequence)[-1]
                first += [] if token is not None else [h]
            expected.append(h)
        assert_same(outcome.predictions[b, r], torch.stack(expected))
        assert_same(outcome.thoughts(b, r), torch.stack(first) if first else table[:0])


@torch.no_grad()
def test_a_beam_thinks_as_training_does() -> None:
    """Items of two tokens, ranked by the search as by what training makes of each item alone."""
    codes = (3, 4)
    config = SasRecConfig(use="sasrec", hidden_size=16, initializer_std=0.3)
    backbone = SasRec(config, Env(seed=5, vocabulary=(*sid_tokens(codes), *LATENT_TOKENS))).eval()
    names = [[f"<a_{a}>", f"<b_{b}>"] for a, b in product(range(3), range(4))]
    table = SidTable(torch.tensor([backbone.tokenizer.convert_tokens_to_ids(sid) for sid in names]))
    states, context = read_chains(backbone, table.tokens.flatten()[:12].view(2, 6), torch.tensor([6, 4]))
    tip, first = torch.tensor([[5], [5]]), torch.tensor([0, 2])
    prompt = Prompt(states[:, -1:], tip, context, states, first, tip, tip - first[:, None] + 1)
    trace = loop().run(backbone, prompt, torch.tensor([[1], [2]]), 2)
    taught: Any = SimpleNamespace(backbone=backbone)
    every = Recommender.answer_states(taught, trace, table.tokens.expand(2, -1, -1))
    decoder = TrieBeam(TrieBeamConfig(use="trie_beam", score="vocabulary"), Env())
    decoder.bind(table)
    found = decoder.search(backbone, trace, 12)
    logp = backbone.logits(every).log_softmax(-1).gather(-1, table.tokens.expand(2, -1, -1)[..., None])
    expected = logp[..., 0].sum(-1)
    torch.testing.assert_close(found.logp[:, 0], expected.gather(-1, found.items[:, 0]))
    assert found.items[:, 0].tolist() == expected.argsort(-1, descending=True).tolist()


VECTORS = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]], dtype=np.float32)
TABLE = SidTable(torch.tensor([[5, 8], [5, 9], [6, 8]]))
STATES = torch.tensor([[[1.0, 2.0, 0.0], [0.5, -1.0, 1.0]], [[2.0, 0.0, 1.0], [1.0, 1.0, 1.0]]])


def cosine(a: Any, b: Any) -> float:
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def told_apart(h: Tensor, centres: Any, own: int, target: Any, soft: float) -> float:
    exps = [math.exp(cosine(h.numpy(), centre) / 0.5) for centre in centres]
    logp = [math.log(value / sum(exps)) for value in exps]
    if not soft:
        return -logp[own]
    weights = [math.exp(cosine(target, centre) / soft) for centre in centres]
    return -sum(w / sum(weights) * value for w, value in zip(weights, logp, strict=True))


@pytest.mark.parametrize("soft", [0.0, 0.7])
@pytest.mark.parametrize("clusters", ["prefix", "code"])
def test_the_term_by_hand(clusters: str, soft: float) -> None:
    """Of three items of two codes: clusters {0, 1} and {2}, then each item, or {0, 2} and {1}.

    Of three prompts the first asks for item 1, the second for item 2, and the third did not think.
    """
    options = {"use": "s2gr", "temperature": 0.5, "clusters": clusters, "soft": soft}
    config = CATALOGUE.config_class("sft_objective", "s2gr").model_validate(
        options, context={"catalogue": CATALOGUE}
    )
    encoder = SimpleNamespace(encode=lambda items, train: VECTORS)
    made = S2gr(config, Env(hidden_size=3, table=TABLE, build=lambda kind, config, env: encoder))
    rows = torch.zeros(3, 1).long()
    prompts = Prompts(rows, rows[:, 0] + 1, rows, torch.ones(3, 1).bool(), rows + 1, rows[:0, 0])
    mask = torch.tensor([True, True, False]).view(3, 1, 1)
    answers = torch.cat([STATES, STATES[:1]])[:, None]
    view: Any = SimpleNamespace(
        lesson=Lesson(prompts, torch.tensor([[[5, 9]], [[6, 8]], [[5, 8]]])),
        trace=LatentTrace(answers[:, :, :1], mask, answers[:, :, 0], rows, Context()),
        answers=answers,
    )
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    first = [unit[:2].mean(0), unit[2]]
    second, places = (
        ([unit[0], unit[1], unit[2]], (1, 2))
        if clusters == "prefix"
        else ([unit[[0, 2]].mean(0), unit[1]], (1, 0))
    )
    expected = 0.0
    for row, (item, node, place) in enumerate(zip((1, 2), (0, 1), places, strict=True)):
        mapped = STATES[row] @ made.map.detach().T
        expected += told_apart(mapped[0], first, node, unit[item], soft)
        expected += told_apart(mapped[1], second, place, unit[item], soft)
    assert made.loss(view).item() == pytest.approx(expected, rel=1e-4)
    assert made.count(view.lesson, None) == 6
