"""The aligners (paper Eq. 4 and section 2.4, Terminal KL)."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core import distances
from lasar_kit.core.values import Anchors, Env, LatentTrace
from lasar_kit.errors import UserError
from lasar_plugins.aligner.standard.config import AlignConfig, NoAlignConfig, StepwiseConfig, TerminalConfig

NO_DISTANCE = {"zero_on_identity": "the cross-entropy with one's own likeliest token is above 0"}
"""The law of aligners that `ce` breaks."""
AT_ANSWER = {
    "zero_on_identity": "it compares the state that predicts the answer, not the thoughts",
    "gradient_reaches_thoughts_alone": "its gradient enters where the answer is predicted",
}
LAST_ALONE = {"every_pair_is_felt": "it holds the last thought alone"}
"""The laws of aligners that one at the answer breaks."""


class _Comparison:
    """The distance of n states to n anchors, as the options have it; gradients stop at the anchors."""

    def __init__(self, config: AlignConfig, env: Env) -> None:
        self.head = self.anchor_head = None
        if config.space == "vocab":
            if env.head is None:
                raise UserError(f"aligner {config.use}: space 'vocab' needs the head of a language model")
            self.head = env.head
            # Anchors come from an earlier backbone, which a head in training soon no longer fits.
            self.anchor_head = env.frozen_head() if env.frozen_head else env.head
        measure = getattr(distances, config.distance)
        is_bikl = config.distance == "bikl"
        self.measure = partial(measure, temperature=config.temperature) if is_bikl else measure

    def __call__(self, states: Float[Tensor, "n D"], anchors: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
        anchors = anchors.detach()
        if self.head is not None and self.anchor_head is not None:
            with torch.no_grad():
                anchors = self.anchor_head(anchors.to(states.dtype))
            states = self.head(states)
            # Tokens of a loop's own stand behind all others; those that came since the anchors are left out.
            both = min(states.shape[-1], anchors.shape[-1])
            states, anchors = states[..., :both], anchors[..., :both]
        distance: Tensor = self.measure(states, anchors)
        return distance


class Stepwise:
    """The mean distance of thought t to segment t (paper Eq. 4).

    The mean is over the thoughts that have a segment: all N of them where N is the number of segments, as in
    the paper. What is masked is never computed with.
    """

    def __init__(self, config: StepwiseConfig, env: Env) -> None:
        self.contract_exceptions = NO_DISTANCE if config.distance == "ce" else {}
        self.config = config
        self.compare = _Comparison(config, env)
        self.skips = config.excess == "skip"

    def counted(self, thoughts: Int[Tensor, "*S"], segments: Int[Tensor, "*S"]) -> Bool[Tensor, "*S"]:
        """All branches, or those without a thought too many."""
        return _no_excess(thoughts, segments) if self.skips else thoughts >= 0

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Float[Tensor, "B R"]:
        """A loss a branch, 0 where it has no thought or no anchor."""
        pairs = min(trace.mask.shape[-1], anchors.mask.shape[-1])
        both = trace.mask[..., :pairs] & anchors.mask[..., :pairs]
        if self.skips:
            both = both & _no_excess(trace.mask.sum(-1), anchors.mask.sum(-1))[..., None]
        distance = self.compare(trace.states[..., :pairs, :][both], anchors.states[..., :pairs, :][both])
        return _scatter(distance, both).sum(-1) / both.sum(-1).clamp_min(1)


class Terminal:
    """The distance of a branch's own last thought to its last segment (paper section 2.4, E.4).

    Or that of the state behind the thoughts which predicts the answer (CODI, arXiv:2502.21074).
    """

    def __init__(self, config: TerminalConfig, env: Env) -> None:
        self.at_answer = config.at == "answer"
        self.contract_exceptions = LAST_ALONE | (NO_DISTANCE if config.distance == "ce" else {})
        if self.at_answer:
            self.contract_exceptions = LAST_ALONE | AT_ANSWER
        self.compare = _Comparison(config, env)

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Float[Tensor, "B R"]:
        """A loss a branch, 0 where it has no thought or no anchor."""
        both = trace.mask.any(-1) & anchors.mask.any(-1)
        states = trace.last[both] if self.at_answer else _last(trace.states[both], trace.mask[both])
        distance = self.compare(states, _last(anchors.states[both], anchors.mask[both]))
        return _scatter(distance, both)


class NoAlign:
    """Nothing to hold to."""

    def __init__(self, config: NoAlignConfig, env: Env) -> None:
        pass

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Float[Tensor, "B R"]:
        """Zero throughout."""
        return trace.last.new_zeros(trace.last.shape[:-1], dtype=torch.float32)


def _no_excess(thoughts: Int[Tensor, "*S"], segments: Int[Tensor, "*S"]) -> Bool[Tensor, "*S"]:
    """Which branches have no thought without a segment (paper E.3)."""
    return thoughts <= segments


def _scatter(values: Float[Tensor, " n"], where: Bool[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """The values at the places that are true, in order; 0 elsewhere."""
    return values.new_zeros(where.shape).masked_scatter(where, values)


def _last(states: Float[Tensor, "n T D"], mask: Bool[Tensor, "n T"]) -> Float[Tensor, "n D"]:
    """The state at each row's last true place."""
    seen = mask.cumsum(-1)
    index: Int[Tensor, " n"] = (seen < seen[:, -1:]).sum(-1)
    return states[torch.arange(len(states), device=states.device), index]
