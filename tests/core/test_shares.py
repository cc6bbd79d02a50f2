"""Scores of the catalogue as probabilities."""

from __future__ import annotations

import numpy as np

from lasar_kit.core.shares import distribution


def test_scores_become_probabilities() -> None:
    scores = np.array([[2.0, -np.inf, 6.0, -1.0], [-np.inf] * 4, [0.0, 0.0, 0.0, -2.0]])
    np.testing.assert_allclose(distribution(scores, "sum"), [[0.25, 0, 0.75, 0], [0.25] * 4, [0.25] * 4])
    logs = np.log(
        np.array([[0.1, 0.3, 0.0, 0.0]]), where=[[True, True, False, False]], out=np.full((1, 4), -np.inf)
    )
    np.testing.assert_allclose(distribution(logs, "softmax"), [[0.25, 0.75, 0, 0]])
    np.testing.assert_allclose(distribution(scores, "softmax")[1], [0.25] * 4)
    np.testing.assert_allclose(distribution(scores - 2000, "softmax")[0].sum(), 1)


def test_another_list_has_the_probabilities_of_the_first() -> None:
    """Of a list without item 0, in whose place item 3 came; uniform where the first list is empty."""
    first = np.array([[3.0, 1.0, 0.0, 0.0], [0.0] * 4])
    second = np.array([[0.0, 1.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.0]])
    expected = [[0, 0.25, 0, 0.125], [0.25] * 4]
    np.testing.assert_allclose(distribution(second, "sum", among=first), expected)
    with np.errstate(divide="ignore"):
        first, second = np.log(first), np.log(second)
    np.testing.assert_allclose(distribution(second, "softmax", among=first), expected)
