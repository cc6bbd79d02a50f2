"""Ranks the whole catalogue for many users, over all processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from accelerate import Accelerator
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.allowed import Allowed, Limit
from lasar_kit.core.values import SidTable
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.world import in_shares


@dataclass(frozen=True)
class Ranking:
    """Ranked items of U users, best first, -1 past the end; scores are log-probabilities. `texts` are what a
    loop that writes wrote about each, and `words` how many tokens that is, its end counted."""

    items: Int[np.ndarray, "U W"]
    scores: Float[np.ndarray, "U W"]
    depth: Int[np.ndarray, " U"]
    texts: tuple[str, ...] | None = None
    words: Int[np.ndarray, " U"] | None = None


def batches_of_users(
    histories: Sequence[Int[np.ndarray, " H"]], batch_size: int
) -> list[Int[np.ndarray, " b"]]:
    """Users that are decoded together, those with histories of similar length.

    Cut without regard to the number of processes, so that a user's list is the same bits for any.
    """
    by_length = np.argsort([len(history) for history in histories], kind="stable")
    return [by_length[start : start + batch_size] for start in range(0, len(by_length), batch_size)]


def rank_users(
    recommender: Recommender,
    histories: Sequence[Int[np.ndarray, " H"]],
    width: int,
    batch_size: int,
    accelerator: Accelerator,
    advance: Callable[[int], None] = lambda users: None,
    shared: bool = True,
    users: Int[np.ndarray, " U"] | None = None,
) -> Ranking:
    """Decode every user's prompt, batch by batch; `advance` hears how many are done.

    `users` are their rows in the data set, -1 for one unknown, if any is known.
    All processes share in the batches, unless `shared` is false: then this one decodes for itself.
    """
    (ranking,) = rank_among(
        recommender, histories, [None], width, batch_size, accelerator, advance, shared, users
    )
    return ranking


def rank_among(
    recommender: Recommender,
    histories: Sequence[Int[np.ndarray, " H"]],
    limits: Sequence[Sequence[Limit] | None],
    width: int,
    batch_size: int,
    accelerator: Accelerator,
    advance: Callable[[int], None] = lambda users: None,
    shared: bool = True,
    users: Int[np.ndarray, " U"] | None = None,
) -> list[Ranking]:
    """Several lists of every user, from one reading of the prompt: one for each of `limits`, which are None
    (all items may be listed) or a limit for each user."""
    training = recommender.training
    recommender.eval()

    def decode(batch: Int[np.ndarray, " b"]) -> tuple[list[tuple[np.ndarray, ...]], Texts]:
        known = None if users is None else users[batch].tolist()
        prompts = recommender.prompts.prompts([histories[place] for place in batch], known)
        allowed = [
            None if own is None else Allowed.of([own[place] for place in batch], recommender.device)
            for own in limits
        ]
        lists, depth, written = recommender.recommend(prompts, width, allowed)
        advance(len(batch) * accelerator.num_processes)  # the others are about as far
        parts = [(beams.items[:, 0], beams.logp[:, 0].float(), depth[:, 0]) for beams in lists]
        return [tuple(part.cpu().numpy() for part in own) for own in parts], _texts(recommender, written)

    batches = batches_of_users(histories, batch_size)
    every = in_shares(batches, decode) if shared else [decode(batch) for batch in batches]
    recommender.train(training)
    order = np.argsort(np.concatenate(batches))
    texts, words = _in_order([told for _, told in every], order)
    return [
        Ranking(items, scores, depth, texts, words)
        for items, scores, depth in (
            [np.concatenate([parts[number][k] for parts, _ in every])[order] for k in range(3)]
            for number in range(len(limits))
        )
    ]


Texts = tuple[list[str], Int[np.ndarray, " b"]] | None
"""What was written about some users, and how many tokens that is; None where nothing writes."""


def _texts(recommender: Recommender, written: Int[Tensor, "b 1 W"] | None) -> Texts:
    if written is None:
        return None
    rows = written[:, 0].cpu()
    return recommender.texts(rows), (rows >= 0).sum(-1).numpy()


def _in_order(
    parts: Sequence[Texts], order: Int[np.ndarray, " U"]
) -> tuple[tuple[str, ...] | None, Int[np.ndarray, " U"] | None]:
    """Texts and numbers of tokens of all users."""
    found = [part for part in parts if part is not None]
    if not found:
        return None, None
    texts = [text for some, _ in found for text in some]
    return tuple(texts[place] for place in order), np.concatenate([words for _, words in found])[order]


def without(histories: Sequence[Int[np.ndarray, " H"]]) -> list[Limit]:
    """Limits that leave each user's history out."""
    return [Limit(history) for history in histories]


def whole_lists(ranking: Ranking, table: SidTable, limits: Sequence[Limit] | None = None) -> Ranking:
    """Lists of items from lists of leaves: where items share a SID, each in place of their leaf, in the order
    of the item table; and without what is not allowed, where the search left it in. What follows moves up."""
    if limits is None and not table.shared:
        return ranking
    items = np.full_like(ranking.items, -1)
    scores = np.full_like(ranking.scores, -np.inf)
    for user, (row, row_scores) in enumerate(zip(ranking.items, ranking.scores, strict=True)):
        listed, score = _sharers(row[row >= 0], row_scores[row >= 0], table)
        if limits is not None:
            kept = limits[user].holds(listed)
            listed, score = listed[kept], score[kept]
        listed, score = listed[: items.shape[1]], score[: items.shape[1]]
        items[user, : len(listed)], scores[user, : len(listed)] = listed, score
    return replace(ranking, items=items, scores=scores)


def _sharers(
    items: Int[np.ndarray, " w"], scores: Float[np.ndarray, " w"], table: SidTable
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """All items of these leaves, and their scores."""
    if not table.shared or not len(items):
        return items, scores
    groups = [table.items_like(int(item)).cpu().numpy() for item in items]
    return np.concatenate(groups), np.repeat(scores, [len(group) for group in groups])


def target_ranks(
    items: Int[np.ndarray, "U W"], target: Int[np.ndarray, " U"], table: SidTable | None = None
) -> tuple[Int[np.ndarray, " U"], Int[np.ndarray, " U"]]:
    """Rank of each target from 1 (0 where absent), and how many listed items share its SID, itself included.

    An item that only shares the target's SID is never a hit.
    """
    listed = (items == target[:, None]).any(1)
    leaf = table.leaves.cpu().numpy() if table is not None and table.shared else None
    same = (
        items == target[:, None] if leaf is None else ((leaf[items] == leaf[target][:, None]) & (items >= 0))
    )
    rank = np.where(listed, same.argmax(1) + 1, 0)
    return rank, np.where(listed, same.sum(1), 1)
