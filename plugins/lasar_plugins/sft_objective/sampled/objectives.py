"""Softmax and binary cross-entropy of answers against drawn negatives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.keyed import below, by_weight, mixed, uniform
from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.sampled.config import BceConfig, SampledSoftmaxConfig

BLOCK = 256
"""Rows whose own tokens' logits are computed at once, as a square of which the diagonal is kept."""


class _Sampled(nn.Module):
    """What both have: the tokens of each level, how often each is bought, and a key that moves on with every
    pass of training."""

    needs: tuple[str, ...] = ()

    def __init__(self, env: Env) -> None:
        super().__init__()
        assert env.table is not None
        self.levels = [column.unique().to(env.device) for column in env.table.tokens.T]
        self.shares = [_share(env, column.cpu()).to(env.device) for column in env.table.tokens.T]
        self.register_buffer("key", mixed(torch.tensor(env.seed)).to(env.device))
        self.key: Tensor

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Answer tokens of the prompts that count."""
        return int(lesson.prompts.mask.sum()) * lesson.targets.shape[-1]

    def steps(self, view: SftView) -> Iterator[tuple[Float[Tensor, "n D"], Int[Tensor, " n"], int]]:
        """The states that predict answer tokens and these tokens, level by level."""
        mask = view.lesson.prompts.mask
        states, targets = view.answers[mask], view.lesson.targets[mask]
        for level in range(targets.shape[1]):
            yield states[:, level], targets[:, level].contiguous(), level

    def places(self, level: int, tokens: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Where tokens of a level stand among them."""
        known = self.levels[level]
        return torch.searchsorted(known, tokens).clamp(max=len(known) - 1)

    def advance(self) -> Tensor:
        """The key of this pass; of a model that is not trained always the same."""
        key = self.key.clone()
        if self.training:
            self.key.add_(1)
        return key


class SampledSoftmax(_Sampled):
    """-log of softmax over the answer and the sample; what is drawn of the answer itself is left out."""

    def __init__(self, config: SampledSoftmaxConfig, env: Env) -> None:
        super().__init__(env)
        self.config = config
        if config.source == "in_batch":
            why = "negatives are the other answers of the batch"
            self.contract_exceptions = {"parts_add_up_to_the_whole": why}

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over answer tokens."""
        key = self.advance()
        terms = [self._term(view.backbone, *step, key) for step in self.steps(view)]
        return torch.stack(terms).sum()

    def _term(
        self,
        backbone: Backbone,
        states: Float[Tensor, "n D"],
        tokens: Int[Tensor, " n"],
        level: int,
        key: Int[Tensor, ""],
    ) -> Float[Tensor, ""]:
        if len(tokens) == 0:
            return states.float().sum()
        drawn, chance = self._draw(tokens, level, key)
        right = own_logits(backbone, states, tokens[:, None])[:, 0]
        wrong = backbone.logits(states, drawn).float()
        if self.config.correction != "none":
            wrong = wrong - chance.log()
        if self.config.correction == "both":
            chances = self._chances(level) * len(drawn)
            right = right - chances.log()[self.places(level, tokens)]
        wrong = wrong.masked_fill(drawn == tokens[:, None], -torch.inf)
        return (torch.logaddexp(right, wrong.logsumexp(-1)) - right).sum()

    def _draw(
        self, tokens: Int[Tensor, " n"], level: int, key: Int[Tensor, ""]
    ) -> tuple[Int[Tensor, " k"], Float[Tensor, " k"]]:
        """Negatives, and how often each was to be expected among them."""
        known, chances = self.levels[level], self._chances(level)
        if self.config.source == "in_batch":
            return tokens, chances[self.places(level, tokens)] * len(tokens)
        numbers = uniform(key + level, self.config.negatives)
        popular = self.config.source == "popularity"
        places = by_weight(numbers, chances) if popular else below(numbers, len(known))
        return known[places], chances[places] * len(places)

    def _chances(self, level: int) -> Float[Tensor, " K"]:
        """The chance of each token to be a draw."""
        share = self.shares[level]
        return torch.full_like(share, 1 / len(share)) if self.config.source == "uniform" else share


class Bce(_Sampled):
    """-log sigmoid of the answer, times beta, and -log (1 - sigmoid) of each negative (Kang and McAuley 2018;
    beta of Petrov and Macdonald 2023, arXiv:2308.07192, Eqs. 16 and 18)."""

    def __init__(self, config: BceConfig, env: Env) -> None:
        super().__init__(env)
        self.config = config

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over answer tokens."""
        key, prompts = self.advance(), view.lesson.prompts
        last = prompts.ids.gather(1, prompts.tips)[prompts.mask]
        place = mixed(mixed(last) + prompts.items[prompts.mask]) + key
        terms = [self._term(view.backbone, *step, place) for step in self.steps(view)]
        return torch.stack(terms).sum()

    def _term(
        self,
        backbone: Backbone,
        states: Float[Tensor, "n D"],
        tokens: Int[Tensor, " n"],
        level: int,
        place: Int[Tensor, " n"],
    ) -> Float[Tensor, ""]:
        known, count = self.levels[level], self.config.negatives
        if len(tokens) == 0 or len(known) == 1:  # nothing to tell apart
            return states.float().sum() * 0
        own = self.places(level, tokens)
        others = below(uniform(place + mixed(own + level), count), len(known) - 1)
        others = others + (others >= own[:, None])
        logits = own_logits(backbone, states, torch.cat([tokens[:, None], known[others]], dim=1))
        beta = calibrated(count / (len(known) - 1), self.config.calibration)
        return -(beta * logsigmoid(logits[:, 0]).sum() + logsigmoid(-logits[:, 1:]).sum())


def calibrated(alpha: float, t: float) -> float:
    """The power of the answer's probability, of the share of all others that is drawn."""
    return alpha * (t * (1 - 1 / alpha) + 1 / alpha)


def own_logits(
    backbone: Backbone, states: Float[Tensor, "n D"], tokens: Int[Tensor, "n m"]
) -> Float[Tensor, "n m"]:
    """Each state's logits of its own tokens, float32."""
    rows = max(1, BLOCK // tokens.shape[1])
    parts = []
    for some, theirs in zip(torch.split(states, rows), torch.split(tokens, rows), strict=True):
        square = backbone.logits(some, theirs.flatten()).view(len(some), *theirs.shape)
        parts.append(square.diagonal(dim1=0, dim2=1).T.float())
    return torch.cat(parts)


def _share(env: Env, column: Int[Tensor, " I"]) -> Float[Tensor, " K"]:
    """The share of each token of a level in the training part, ascending; one never bought counts once."""
    items = np.zeros(0, dtype=np.int64) if env.train is None else env.train.items
    bought = np.bincount(items, minlength=len(column))
    _, code = np.unique(column.numpy(), return_inverse=True)
    sums = np.maximum(np.bincount(code, weights=bought), 1)
    return torch.from_numpy(sums / sums.sum()).float()
