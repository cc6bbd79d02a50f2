"""Loops, depth policies and decoders that break their laws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.values import Beams, Env, LatentTrace, Prompt, SidTable
from lasar_kit.spec import DepthPolicyConfig
from lasar_kit.testing.broken.saboteurs import Saboteurs, breaks
from lasar_kit.testing.contract import Subject
from lasar_kit.testing.tiny import TinyDecoder, TinyLoop, TinyPolicy

BROKEN: Saboteurs = {}


@breaks(BROKEN, "latent_loop", "trace_has_its_shapes")
class TipBeyond(TinyLoop):
    """Names a node that is yet to come."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, depth, steps)
        return replace(trace, tip=trace.tip + depth.shape[1])


@breaks(BROKEN, "latent_loop", "mask_counts_the_depth")
class OneMore(TinyLoop):
    """Marks N + 1 thoughts."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, depth, steps)
        return replace(trace, mask=torch.arange(steps) <= depth[..., None])


@breaks(BROKEN, "latent_loop", "a_branch_alone_is_the_branch_in_any_batch")
class OnePath(TinyLoop):
    """Hangs all branches' thoughts on the first branch."""

    def step(self, backbone: Any, h: Tensor, parent: Tensor, context: Any) -> Any:
        return super().step(backbone, h, parent[:, :1].expand_as(parent), context)


@breaks(BROKEN, "latent_loop", "surplus_steps_change_nothing")
class ToTheEnd(TinyLoop):
    """Answers from where the loop stopped."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, torch.full_like(depth, steps), steps)
        return replace(trace, mask=torch.arange(steps) < depth[..., None])


@breaks(BROKEN, "latent_loop", "depth_is_felt")
class AtLeastOnce(TinyLoop):
    """Takes depth 0 for depth 1."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        return super().run(backbone, prompt, depth.clamp_min(1), max(steps, 1))


@breaks(BROKEN, "latent_loop", "answer_hangs_on_its_own_thoughts")
class OneLess(TinyLoop):
    """Answers from thought N - 1."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, (depth - 1).clamp_min(0), steps)
        return replace(trace, mask=torch.arange(steps) < depth[..., None])


@breaks(BROKEN, "latent_loop", "many_tokens_and_thoughts_are_as_few")
class AtMostEight(TinyLoop):
    """Thinks eight times at most."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        return super().run(backbone, prompt, depth.clamp_max(8), min(steps, 8))


@breaks(BROKEN, "latent_loop", "thoughts_are_states_of_the_backbone")
class RescalesThoughts(TinyLoop):
    """Returns what it fed in place of what came out."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, depth, steps)
        return replace(trace, states=trace.states * self.gain)


@breaks(BROKEN, "latent_loop", "last_is_the_state_at_the_tip")
class TipOfTheThought(TinyLoop):
    """Predicts the first token behind `<|lat_e|>`, and hangs it on another branch's."""

    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        trace = super().run(backbone, prompt, depth, steps)
        return replace(trace, tip=prompt.tip)


@breaks(BROKEN, "latent_loop", "gradient_reaches_the_prompt")
class NoGradient(TinyLoop):
    """Thinks without gradients."""

    @torch.no_grad()
    def run(self, backbone: Any, prompt: Any, depth: Tensor, steps: int) -> LatentTrace:
        return super().run(backbone, prompt, depth, steps)


@breaks(BROKEN, "latent_loop", "every_weight_is_trained")
class IdleWeight(TinyLoop):
    """Has a weight that it never uses."""

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__(config, env)
        self.idle = nn.Parameter(torch.zeros(1))


@breaks(BROKEN, "latent_loop", "transparent_adds_nothing")
class SeemsTransparent(TinyLoop):
    """Calls itself transparent, and thinks."""

    transparent = True


@breaks(BROKEN, "depth_policy", "support_is_ascending")
class Descending(TinyPolicy):
    """Lists the deepest first."""

    support = (3, 2, 1, 0)


class _TwoDepths(DepthPolicyConfig):
    """Says that there are two depths; the double has four."""

    @property
    def support(self) -> tuple[int, ...]:
        """These two."""
        return (0, 1)


BROKEN["depth_policy", "support_is_that_of_the_options"] = Subject(
    "depth_policy", "MoreDepths", lambda env: TinyPolicy(None, env), _TwoDepths(use="tiny")
)


@breaks(BROKEN, "depth_policy", "logits_are_finite")
class Exponential(TinyPolicy):
    """Exponentiates without a bound."""

    def logits(self, prompt: Prompt) -> Tensor:
        return super().logits(prompt).exp()


@breaks(BROKEN, "depth_policy", "a_prompt_alone_is_the_prompt_in_any_batch")
class BatchNorm(TinyPolicy):
    """Centres logits over the batch."""

    def logits(self, prompt: Prompt) -> Tensor:
        logits = super().logits(prompt)
        return logits - logits.mean(0)


@breaks(BROKEN, "depth_policy", "reads_bfloat16_states")
class Float32Only(TinyPolicy):
    """Reads states of its own type alone."""

    def logits(self, prompt: Prompt) -> Tensor:
        return prompt.h0 @ self.weight


@breaks(BROKEN, "depth_policy", "every_weight_is_trained")
class IdleBias(TinyPolicy):
    """Has a bias that it never uses."""

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__(config, env)
        self.bias = nn.Parameter(torch.zeros(4))


@breaks(BROKEN, "decoder", "results_are_items_of_the_catalogue")
class LastOfItsSid(TinyDecoder):
    """Names the last of the items that share a SID."""

    def bind(self, table: SidTable) -> None:
        super().bind(table)
        self.items = torch.stack([table.items_like(int(item))[-1] for item in self.items])


@breaks(BROKEN, "decoder", "no_item_twice")
class Repeats(TinyDecoder):
    """Gives the best item a second time."""

    def search(self, backbone: Any, trace: LatentTrace, width: int) -> Beams:
        beams = super().search(backbone, trace, width)
        index = torch.arange(width).clamp_min(1) - 1
        return Beams(beams.items[..., index], beams.logp[..., index])


@breaks(BROKEN, "decoder", "best_come_first")
class Unsorted(TinyDecoder):
    """Gives the right items in the wrong order."""

    def search(self, backbone: Any, trace: LatentTrace, width: int) -> Beams:
        beams = super().search(backbone, trace, width)
        return Beams(beams.items.flip(-1), beams.logp.flip(-1))


@breaks(BROKEN, "decoder", "scores_are_the_models")
class MeanOfTokens(TinyDecoder):
    """Divides an item's score by its length."""

    def scores(self, backbone: Any, trace: LatentTrace) -> Tensor:
        return super().scores(backbone, trace) / (1 + self.tokens.shape[1])


@breaks(BROKEN, "decoder", "wide_search_ranks_the_whole_catalogue")
class Narrow(TinyDecoder):
    """Searches half the catalogue."""

    def scores(self, backbone: Any, trace: LatentTrace) -> Tensor:
        return super().scores(backbone, trace)[..., : (len(self.items) + 1) // 2]


@breaks(BROKEN, "decoder", "a_large_catalogue_is_ranked_too")
class AtMostTen(TinyDecoder):
    """Keeps the best ten items, however many are asked for."""

    def scores(self, backbone: Any, trace: LatentTrace) -> Tensor:
        scores = super().scores(backbone, trace)
        tenth = scores.topk(min(10, scores.shape[-1])).values[..., -1:]
        return scores.masked_fill(scores < tenth, -torch.inf)


@breaks(BROKEN, "decoder", "equal_scores_keep_their_order")
class TurnsTies(TinyDecoder):
    """Leaves the order of equal scores to the width."""

    def search(self, backbone: Any, trace: LatentTrace, width: int) -> Beams:
        total = self.scores(backbone, trace)
        turned = torch.arange(len(self.items)).roll(width)
        order = turned[total[..., turned].argsort(dim=-1, descending=True, stable=True)][..., :width]
        missing = (0, width - order.shape[-1])
        items, logp = self.items[order], total.gather(-1, order)
        return Beams(
            nn.functional.pad(items, missing, value=-1), nn.functional.pad(logp, missing, value=-torch.inf)
        )


@breaks(BROKEN, "decoder", "a_wide_search_under_constraints_is_brute_force")
class FiltersWhatItFound(TinyDecoder):
    """Searches among all items, and then leaves out what is not allowed."""

    def search_among(self, backbone: Any, trace: LatentTrace, width: int, allowed: Allowed) -> Beams:
        beams, every = super().search(backbone, trace, width), super().search_among
        lists = every(backbone, trace, len(self.items), allowed).items
        kept = (beams.items[..., None] == lists[..., None, :]).any(-1) & beams.valid
        return Beams(torch.where(kept, beams.items, -1), torch.where(kept, beams.logp, -torch.inf))


@breaks(BROKEN, "decoder", "a_branch_alone_is_the_branch_in_any_batch")
class FirstRow(TinyDecoder):
    """Scores every row as the first."""

    def scores(self, backbone: Any, trace: LatentTrace) -> Tensor:
        scores = super().scores(backbone, trace)
        return scores[:1].expand_as(scores)


@breaks(BROKEN, "decoder", "an_extended_catalogue_is_a_bound_one")
class NewOnesAlone(TinyDecoder):
    """Is bound to what came last."""

    def extend(self, table: SidTable) -> None:
        super().bind(SidTable(table.tokens[len(self.leaves) :]))


@breaks(BROKEN, "decoder", "another_catalogue_may_be_bound")
class BoundOnce(TinyDecoder):
    """Keeps the first catalogue."""

    def bind(self, table: SidTable) -> None:
        if not hasattr(self, "items"):
            super().bind(table)
