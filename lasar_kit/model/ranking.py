"""Ranks the whole catalogue for many users, over all processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from accelerate import Accelerator
from jaxtyping import Float, Int

from lasar_kit.core.values import SidTable
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.world import in_shares


@dataclass(frozen=True)
class Ranking:
    """Ranked items of U users, best first, -1 past the end; scores are log-probabilities."""

    items: Int[np.ndarray, "U W"]
    scores: Float[np.ndarray, "U W"]
    depth: Int[np.ndarray, " U"]


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
) -> Ranking:
    """Decode every user's prompt, batch by batch; `advance` hears how many are done.

    All processes share in the batches, unless `shared` is false: then this one decodes for itself.
    """
    training = recommender.training
    recommender.eval()

    def decode(users: Int[np.ndarray, " b"]) -> tuple[np.ndarray, ...]:
        prompts = recommender.prompts.prompts([histories[user] for user in users])
        beams, depth = recommender.recommend(prompts, width)
        advance(len(users) * accelerator.num_processes)  # the others are about as far
        parts = (beams.items[:, 0], beams.logp[:, 0].float(), depth[:, 0])
        return tuple(part.cpu().numpy() for part in parts)

    batches = batches_of_users(histories, batch_size)
    every = in_shares(batches, decode) if shared else [decode(users) for users in batches]
    recommender.train(training)
    order = np.argsort(np.concatenate(batches))
    ranked: list[np.ndarray] = [np.concatenate([part[k] for part in every])[order] for k in range(3)]
    return Ranking(*ranked)


def without_history(ranking: Ranking, histories: Sequence[Int[np.ndarray, " H"]]) -> Ranking:
    """The same lists less what each user already has; what follows moves up."""
    seen = np.stack(
        [np.isin(items, history) for items, history in zip(ranking.items, histories, strict=True)]
    )
    order = np.argsort(seen, axis=1, kind="stable")
    gone = np.take_along_axis(seen, order, axis=1)
    items = np.where(gone, -1, np.take_along_axis(ranking.items, order, axis=1))
    scores = np.where(gone, -np.inf, np.take_along_axis(ranking.scores, order, axis=1))
    return Ranking(items, scores, ranking.depth)


def with_sharers(ranking: Ranking, table: SidTable) -> Ranking:
    """Where items share a SID, each in place of their leaf, in the order of the item table."""
    if not table.shared:
        return ranking
    width = ranking.items.shape[1]
    items = np.full_like(ranking.items, -1)
    scores = np.full_like(ranking.scores, -np.inf)
    for user, (row, row_scores) in enumerate(zip(ranking.items, ranking.scores, strict=True)):
        groups = [table.items_like(int(item)).cpu().numpy() for item in row[row >= 0]]
        if groups:
            flat = np.concatenate(groups)[:width]
            items[user, : len(flat)] = flat
            score = np.repeat(row_scores[row >= 0], [len(group) for group in groups])
            scores[user, : len(flat)] = score[:width]
    return Ranking(items, scores, ranking.depth)


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
