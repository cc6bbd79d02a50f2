"""Scores of the catalogue as probabilities."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from lasar_kit.core.capabilities import GivesProbabilities
from lasar_kit.core.interfaces import Ranker
from lasar_kit.spec import Normalise


def probabilities(
    ranker: Ranker,
    scores: Float[np.ndarray, "U I"],
    normalise: Normalise | None,
    otherwise: Normalise,
    among: Float[np.ndarray, "U I"] | None = None,
) -> Float[np.ndarray, "U I"]:
    """A ranker's scores as probabilities: by `normalise`, or else as the ranker itself says, or else by
    `otherwise`; uniform where it lists nothing. `among` as in `distribution`."""
    own = None
    if normalise is None and isinstance(ranker, GivesProbabilities):
        own = ranker.probabilities(scores)
    if own is None:
        return distribution(scores, normalise or otherwise, among)
    listed = ((scores if among is None else among) > -np.inf).any(1, keepdims=True)
    return np.where(listed, own, 1 / scores.shape[1])


def distribution(
    scores: Float[np.ndarray, "U I"], normalise: Normalise, among: Float[np.ndarray, "U I"] | None = None
) -> Float[np.ndarray, "U I"]:
    """Scores, -inf for what is not listed, as probabilities; uniform where nothing is left to divide.

    `among`: the list that they are divided by where it is another. What scores the same in both then has the
    same probability, as in a list without a history, where other items may take its place.
    """
    whole = scores if among is None else among
    best = whole.max(1, keepdims=True) if normalise == "softmax" else None
    masses = _masses(whole, best)
    total = masses.sum(1, keepdims=True)
    nothing = total[:, 0] == 0
    shares = masses if among is None else _masses(scores, best)
    shares[nothing], total[nothing] = 1.0, scores.shape[1]
    shares /= total
    return shares


def _masses(
    scores: Float[np.ndarray, "U I"], best: Float[np.ndarray, "U 1"] | None
) -> Float[np.ndarray, "U I"]:
    """What is divided: scores, those below 0 being 0, or exponentials of what they are above the best."""
    masses: Float[np.ndarray, "U I"]
    if best is None:
        masses = np.maximum(scores, 0.0)
    else:
        masses = np.exp(scores - np.where(np.isfinite(best), best, 0.0))
    return masses
