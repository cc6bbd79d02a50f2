"""Reading thoughts: the answer that a recommender would give had it stopped after each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.values import Beams
from lasar_kit.model.answers import AnswerScorer
from lasar_kit.model.recommender import Recommender


@dataclass(frozen=True)
class Stops:
    """One prompt, stopped after 0, 1, ... n thoughts.

    `policy[d]` is the probability of thinking d times, `depth` the number that was chosen. Row t of the
    others is of a stop after t thoughts: ranked items, and the log-distribution over the first tokens of
    SIDs (`tokens`, those that any item begins with). `thoughts[t]` is the state of thought t + 1, in the
    longest of these; `written[t]` the token ids that a loop which writes left, -1 past the end.
    """

    policy: dict[int, float]
    depth: int
    beams: Beams
    tokens: Int[Tensor, " C"]
    first: Float[Tensor, "n C"]
    thoughts: Float[Tensor, "T D"]
    written: Int[Tensor, "n W"] | None

    def changes(self) -> list[float]:
        """How much each thought changed the answer's first token: the KL divergence, in nats, of its
        distribution from the one before the thought."""
        after, before = self.first[1:].double(), self.first[:-1].double()
        nats: list[float] = (after.exp() * (after - before)).nan_to_num().sum(-1).tolist()
        return nats


@torch.inference_mode()
def stops(
    recommender: Recommender, history: Int[np.ndarray, " H"], width: int, depth: int | None = None
) -> Stops:
    """Read what follows a history of rows, stopping after each thought up to `depth`, by default the one that
    the model chooses.

    A stop is the same as the model's answer at that depth: the loop is run to it, in a row of its own.
    """
    one = recommender.read(recommender.prompts.prompts([history]).to(recommender.device))
    probability = recommender.depth_policy.logits(one)[0, 0].float().softmax(-1).tolist()
    policy = dict(zip(recommender.depth_policy.support, probability, strict=True))
    chosen = recommender.choose_depth(recommender.depth_policy, one)
    halted = recommender.think(one, chosen).depth  # a loop may end by itself
    taken = int((chosen if halted is None else halted)[0, 0])
    longest = taken if depth is None else depth
    return _stopped(recommender, [history] * (longest + 1), width, policy, taken)


def _stopped(
    recommender: Recommender,
    histories: Sequence[Int[np.ndarray, " H"]],
    width: int,
    policy: dict[int, float],
    taken: int,
) -> Stops:
    """Row t thinks t times."""
    device = recommender.device
    prompt = recommender.read(recommender.prompts.prompts(histories).to(device))
    trace = recommender.think(prompt, torch.arange(len(histories), device=device)[:, None])
    table = recommender.prompts.table
    scorer = AnswerScorer(table, "trie", str(device))
    last = trace.last[:, 0, None]
    some = table.tokens[:1, :1].to(device).expand(len(histories), -1)
    first, _ = next(scorer.distributions(recommender.backbone, last, some))
    return Stops(
        policy,
        taken,
        recommender.decoder.search(recommender.backbone, trace, width),
        scorer.alphabet.levels[0],
        first,
        trace.states[-1, 0][trace.mask[-1, 0]],
        None if trace.written is None else trace.written[:, 0],
    )
