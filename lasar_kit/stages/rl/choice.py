"""Which prompts RL is made of: by the chance that their candidates differ in what they earn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from accelerate import Accelerator
from jaxtyping import Float, Int

from lasar_kit.core.dataset import Sequences
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.samples import Window
from lasar_kit.model.precision import autocast
from lasar_kit.model.recommender import Recommender
from lasar_kit.stages.rl.config import RlConfig
from lasar_kit.stages.rl.rollouts import Share
from lasar_kit.train.validation import answer_logp

LEAST = 1e-30
"""Chance that stands for none: such prompts are drawn when no others are left."""


def chance_of_both(logp: Float[np.ndarray, " n"], candidates: int) -> Float[np.ndarray, " n"]:
    """Chance that so many independent draws hold both the target, of log-probability `logp`, and another."""
    p = np.exp(np.minimum(logp, 0.0))
    with np.errstate(divide="ignore"):  # the target is certain: no draw misses it
        never = np.exp(candidates * np.log1p(-p))
    both: Float[np.ndarray, " n"] = np.maximum(1.0 - never - p**candidates, 0.0)
    return both


def chances(
    recommender: Recommender,
    train: Sequences,
    windows: Sequence[Window],
    config: RlConfig,
    accelerator: Accelerator,
) -> Float[np.ndarray, " n"]:
    """`chance_of_both` of each prompt under the policy, among the items that the trie allows."""
    rows = [train[window.user][window.start : window.stop] for window in windows]
    target = np.array([row[-1] for row in rows])
    with autocast(accelerator.device, config.precision):
        asked = ([row[:-1] for row in rows], target, np.array([window.user for window in windows]))
        logp = answer_logp(recommender, *asked, "trie", config.eval_batch_size)
    return chance_of_both(logp, config.candidates)


def drawn(chance: Float[np.ndarray, " n"], count: int, seed: int) -> Int[np.ndarray, " k"]:
    """`count` places, ascending, drawn without replacement in proportion to their chance: the largest of
    log-chance plus Gumbel noise (Efraimidis and Spirakis, 2006)."""
    keys = np.log(np.maximum(chance, LEAST)) + np.random.default_rng(seed).gumbel(size=len(chance))
    return np.sort(np.argsort(-keys, kind="stable")[:count])


def others(windows: Sequence[Window], share: Share, seed: int) -> list[Window]:
    """A prompt for each row of a share in place of the one it had, the same on any number of processes."""
    if not share.rows:
        return []
    numbers = RowDraws(f"refill {seed} {share.update} {share.number}", share.rows, share.count).uniform()
    return [windows[int(number * len(windows))] for number in numbers.tolist()]
