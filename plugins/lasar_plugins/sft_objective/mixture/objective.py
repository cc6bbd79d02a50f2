"""-log((1 - w) p + w q): the cross-entropy of the next item under the model p mixed with a prior q.

It trains the model where the prior does not know the answer, and the prior's share w, which the decoder takes
from the state that answers. The prior is cross-fitted, so that q is what it would be for new users.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

from lasar_kit.core.capabilities import Mixes, Remembered
from lasar_kit.core.lesson import Lesson, TaskRows, moved
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.mixture.config import MixtureConfig

KNOWN = 200_000
"""Rows of prompts whose probabilities are kept; all are forgotten when there are more."""


class Mixture:
    """The mean over the prompts that count.

    Probabilities of the prior are those of the first time that a user's prompts were asked about.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: MixtureConfig, env: Env) -> None:
        assert env.train is not None, "a run has data"
        self.folds, self.train = config.folds, env.train
        self._priors: dict[int, Remembered] = {}
        self._known: dict[tuple[int, bytes, bytes], Float[np.ndarray, " n"]] = {}

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Count the prompts that count."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """Return the sum of their negative log-likelihoods."""
        mask, decoder = view.lesson.prompts.mask, view.decoder
        assert isinstance(decoder, Mixes), "a spec with another decoder is refused"
        model = view.token_logp(view.answers[mask], view.lesson.targets[mask]).sum(-1)
        prior = moved(torch.from_numpy(self._remembered(decoder, view.lesson)).log().float(), model.device)
        odds = decoder.odds(view.trace.last[mask])
        return -torch.logaddexp(logsigmoid(-odds) + model, logsigmoid(odds) + prior).sum()

    def _remembered(self, decoder: Mixes, lesson: Lesson) -> Float[np.ndarray, " n"]:
        """Return the prior's probabilities of the targets of the n prompts that count, in their order."""
        rows = list(_asked(lesson))
        if len(self._known) > KNOWN:
            self._known.clear()
        for fold in range(self.folds):
            fresh = [row for row in rows if row.user % self.folds == fold and row.key not in self._known]
            if not fresh:
                continue
            if fold not in self._priors:
                others = np.arange(len(self.train)) % self.folds != fold
                self._priors[fold] = decoder.remembered(self.train.of_users(others))
            histories = [row.history[:shown] for row in fresh for shown in row.shown]
            found = self._priors[fold](histories, np.concatenate([row.targets for row in fresh]))
            ends = np.cumsum([len(row.shown) for row in fresh])[:-1]
            self._known.update(zip((row.key for row in fresh), np.split(found, ends), strict=True))
        return np.concatenate([np.zeros(0), *(self._known[row.key] for row in rows)])


class _Row:
    """One row's prompts that count: each shows the first of the history's items, and has a target."""

    def __init__(
        self,
        user: int,
        history: Int[np.ndarray, " H"],
        shown: Int[np.ndarray, " n"],
        targets: Int[np.ndarray, "n M"],
    ) -> None:
        self.user, self.history, self.shown, self.targets = user, history, shown, targets
        self.key = (user, history.tobytes() + shown.tobytes(), targets.tobytes())


def _asked(lesson: Lesson) -> list[_Row]:
    """Return the rows of a lesson, on the CPU."""
    prompts = lesson.prompts
    assert prompts.history is not None, "prompts of a run say what they show"
    assert prompts.users is not None, "and whose they are"
    parts = (prompts.users, prompts.history, prompts.items, prompts.mask, lesson.targets)
    users, history, items, mask, targets = (part.cpu().numpy() for part in parts)
    return [
        _Row(int(users[b]), history[b][history[b] >= 0], items[b][mask[b]], targets[b][mask[b]])
        for b in range(len(users))
    ]
