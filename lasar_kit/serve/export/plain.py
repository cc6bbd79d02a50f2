"""Whether a plain language model answers as the recommender does without thoughts, and what it costs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.metrics import summary
from lasar_kit.core.vocabulary import LATENT_END, LATENT_START
from lasar_kit.data.held_out import HeldOut
from lasar_kit.model.ranking import target_ranks
from lasar_kit.serve.engine import Asked, answers
from lasar_kit.serve.recommend import BATCH, LoadedRun

PROBED = 4
"""Users whose logits are compared."""
CUTOFF = 10
BETWEEN: tuple[tuple[str, ...], ...] = ((), (LATENT_START,), (LATENT_START, LATENT_END))
"""Tokens that may stand between a prompt and an answer without thoughts."""


@dataclass(frozen=True)
class Plain:
    """The tokens `between` prompt and answer with which a plain model has the recommender's logits at depth
    0, and by how much log-probabilities differ at most; None where it has them with none."""

    between: list[str] | None
    apart: float


def compared(model: LoadedRun, plain: Any) -> Plain:
    """Compare a plain causal language model with the run's, token by token of an answer.

    The largest difference of log-probabilities must be below 1e-3, or 0.2 where weights are narrower than
    float32.
    """
    held = HeldOut.of(model.dataset, "test", PROBED)
    cases = list(zip(held.histories, held.target.tolist(), strict=True))
    narrow = next(plain.parameters()).dtype != torch.float32
    best = Plain(None, float("inf"))
    with torch.inference_mode():
        wanted = [_without_thoughts(model, history, target) for history, target in cases]
        for tokens in BETWEEN:
            found = (_read(model, plain, history, target, tokens) for history, target in cases)
            apart = max(float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True))
            if apart < min(best.apart, 0.2 if narrow else 1e-3):
                best = Plain([*tokens], apart)
    return best


def _without_thoughts(model: LoadedRun, history: Int[np.ndarray, " H"], item: int) -> Float[Tensor, "M V"]:
    """Log-probabilities of an item's tokens behind a history at depth 0."""
    recommender = model.recommender
    prompt = recommender.read(recommender.prompts.prompts([history]).to(recommender.device))
    trace = recommender.think(prompt, torch.zeros_like(prompt.tip))
    tokens = torch.from_numpy(recommender.prompts.tokens[[[item]]]).to(recommender.device)
    states = recommender.answer_states(trace, tokens)[0, 0]
    logits: Tensor = recommender.backbone.logits(states)
    return logits.float().log_softmax(-1)


def _read(
    model: LoadedRun, plain: Any, history: Int[np.ndarray, " H"], item: int, between: Sequence[str]
) -> Float[Tensor, "M V"]:
    """The same of a plain model."""
    recommender = model.recommender
    prompt = recommender.prompts.prompts([history]).ids[0].tolist()
    prompt += recommender.backbone.tokenizer.convert_tokens_to_ids(list(between))
    answer: list[int] = recommender.prompts.tokens[item].tolist()
    ids = torch.tensor([[*prompt, *answer[:-1]]], device=plain.device)
    logits: Tensor = plain(ids).logits[0, -len(answer) :]
    return logits.float().log_softmax(-1)


def cost_of_no_thoughts(model: LoadedRun, users: int) -> dict[str, dict[str, float]]:
    """HR@10 and NDCG@10 on `users` test users, with as many thoughts as the model takes and without any."""
    held = HeldOut.of(model.dataset, "test", users)
    return {
        name: summary(*_ranks(model, held, depth), cutoffs=(CUTOFF,))
        for name, depth in (("as trained", None), ("without thoughts", 0))
    }


def _ranks(model: LoadedRun, held: HeldOut, depth: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Where each user's target stands, 0 for nowhere, and how many share its SID."""
    asked = [Asked(history, CUTOFF, max(CUTOFF, model.width), depth=depth) for history in held.histories]
    lists = np.full((len(asked), CUTOFF), -1, dtype=np.int64)
    for start in range(0, len(asked), BATCH):
        for place, answer in enumerate(answers(model.recommender, asked[start : start + BATCH]), start):
            lists[place, : len(answer.best.items)] = answer.best.items
    return target_ranks(lists, held.target, model.recommender.prompts.table)
