"""One reinforcement-learning step, whole, behind one module's forward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from lasar_kit.core.capabilities import Halts, SkipsPrompts, SparesReference, Writes, aligned
from lasar_kit.core.interfaces import Aligner, RLObjective
from lasar_kit.core.kl import exact_kl
from lasar_kit.core.lesson import Lesson, mapped
from lasar_kit.core.scoring import Score
from lasar_kit.core.token_logp import in_parts
from lasar_kit.core.values import LatentTrace, Prompt, Rollout
from lasar_kit.model.answers import AnswerScorer
from lasar_kit.model.recommender import Recommender
from lasar_kit.process.world import world_max
from lasar_kit.stages.rl.config import ALIGN


@dataclass(frozen=True)
class Group:
    """A rollout's fixed part: G candidates a prompt (-1 for none), their rewards, the depth and its index.

    `written` are the token ids that the loop wrote, -1 past the end, one text a prompt or a candidate. `old`
    is how the policy that made them saw them; None before the first update on them, where it is the policy
    itself.
    """

    lesson: Lesson
    items: Int[Tensor, "B G"]
    rewards: Float[Tensor, "B G"]
    depth: Int[Tensor, " B"]
    depth_index: Int[Tensor, " B"]
    world_reward: Float[Tensor, ""]
    written: Int[Tensor, "B X W"] | None = None
    old: Rollout | None = None

    def prompts(self, which: Sequence[int]) -> Group:
        """Some prompts of it."""
        taken = {
            name: mapped(value, lambda tensor: tensor[list(which)] if tensor.ndim else tensor)
            for name, value in vars(self).items()
            if name != "lesson"
        }
        return replace(self, lesson=self.lesson.take(which), **taken)

    def replaced(self, places: Sequence[int], others: Group, lesson: Lesson) -> Group:
        """With other groups at some places, and the prompts of all, `lesson`; before any update on them."""
        assert self.old is None
        mixed: dict[str, Any] = {}
        for name, filler in (
            ("items", -1),
            ("rewards", 0),
            ("depth", 0),
            ("depth_index", 0),
            ("written", -1),
        ):
            mine, theirs = getattr(self, name), getattr(others, name)
            if mine is not None:
                wide = max(mine.shape[-1], theirs.shape[-1]) if mine.ndim > 1 else 0
                mine, theirs = (_as_wide(value, wide, filler) for value in (mine, theirs))
                mixed[name] = mine.index_copy(0, torch.tensor(places, device=mine.device), theirs)
        return replace(self, lesson=lesson, **mixed)

    def made_by(self, rollout: Rollout) -> Group:
        """The group with its first rollout, under the policy that made it."""
        return self if self.old is not None else replace(self, old=rollout)


def _as_wide(values: Tensor, width: int, filler: float) -> Tensor:
    """Rows filled up behind, to a width; a value a row stays as it is."""
    return values if values.ndim == 1 else pad(values, (0, width - values.shape[-1]), value=filler)


@dataclass(frozen=True)
class Scored:
    """Candidates under one model: their tokens' log-probabilities, and what was thought before them."""

    prompt: Prompt
    trace: LatentTrace
    states: Float[Tensor, "B G M D"]
    tokens: Int[Tensor, "B G M"]


@dataclass(frozen=True)
class RlResult:
    """A step's result: each objective's loss by its name, and `align`, as sums over what `counts` counts;
    the rollout, without gradients; and numbers worth logging."""

    sums: Mapping[str, Float[Tensor, ""]]
    rollout: Rollout
    numbers: Mapping[str, float]


class RlStep(nn.Module):
    """The terms of the RL loss (paper section 2.4): objectives on the rollout, terminal alignment.

    The prompt and its thoughts are read once, all G candidates hang on them as branches; where each has a
    text of its own, the prompt is read once, and the texts are its branches. The reference
    thinks for itself, at the same depth (method: the reference's latents), and reads what was written. Where
    no objective reads the candidates' log-probabilities and nothing is aligned, the prompt alone is read:
    they are NaN. So are those of the reference, which may be None, where none compares with it.
    """

    def __init__(
        self,
        recommender: Recommender,
        reference: Recommender | None,
        objectives: Mapping[str, RLObjective],
        aligner: Aligner,
        score: Score,
    ) -> None:
        super().__init__()
        self.recommender = recommender
        self._reference = (reference,)  # in a tuple: frozen, not a part of this module
        self.objectives = dict(objectives)
        self.aligner = aligner
        self.scorer = AnswerScorer(recommender.prompts.table, score, str(recommender.device))

    def forward(self, group: Group) -> RlResult:
        """All terms of a group; a number that an earlier objective has as well is called by its own, too."""
        answers = group.lesson.anchors is not None or any(
            objective.reads_answers for objective in self.objectives.values()
        )
        rollout, trace = self._answered(group) if answers else (self._unanswered(group), None)
        losses: dict[str, Float[Tensor, ""]] = {}
        numbers: dict[str, float] = {}
        counts = self.counts(group)
        for name, objective in self.objectives.items():
            loss, logged = objective.loss(rollout)
            losses[name] = loss * counts[name]
            numbers |= {f"{name}_{key}" if key in numbers else key: value for key, value in logged.items()}
        if trace is not None and group.lesson.anchors is not None:
            losses[ALIGN] = self.aligner.loss(trace, group.lesson.anchors)[:, 0][self._aligned(group)].sum()
        return RlResult(losses, mapped(rollout, lambda tensor: tensor.detach()), numbers)

    def counts(self, group: Group) -> dict[str, int]:
        """Over how many prompts each term is a mean: alignment over those with anchors (method 17), an
        objective over all of them, unless it says otherwise."""
        prompts = len(group.depth)
        table = {ALIGN: int(self._aligned(group).sum())}
        for name, objective in self.objectives.items():
            table[name] = prompts
            if isinstance(objective, SkipsPrompts):
                table[name] = objective.counted(group.rewards, group.items >= 0)
        return table

    def _aligned(self, group: Group) -> Bool[Tensor, " B"]:
        """Which prompts have their thoughts held to anchors."""
        anchors = group.lesson.anchors
        if anchors is None:
            return torch.zeros_like(group.depth, dtype=torch.bool)
        return aligned(self.aligner, group.depth, anchors.mask[:, 0].sum(-1))

    def _answered(self, group: Group) -> tuple[Rollout, LatentTrace]:
        """With the candidates under the policy and the reference; and the policy's thoughts."""
        steps = world_max(group.depth)
        scored = self._score(self.recommender, group, steps)
        logp = self._logp(self.recommender, scored)
        if not compared(self.objectives.values()):
            nothing = torch.full_like(logp, torch.nan)
            rollout = self._rollout(group, scored.prompt, logp, nothing, None, scored.trace)
            words = rollout.written_logp
            unread = None if words is None else torch.full_like(words, torch.nan)
            return replace(rollout, ref_written_logp=unread), scored.trace
        (model,) = self._reference
        assert model is not None, "an objective compares with the reference"
        with torch.no_grad():
            reference = self._score(model, group, steps)
            ref_logp = self._logp(model, reference)
        wants_kl = any(objective.exact_kl for objective in self.objectives.values())
        ref_kl = self._exact_kl(scored, model, reference) if wants_kl else None
        rollout = self._rollout(group, scored.prompt, logp, ref_logp, ref_kl, scored.trace)
        return replace(rollout, ref_written_logp=reference.trace.written_logp), scored.trace

    def _unanswered(self, group: Group) -> Rollout:
        """With the depth alone."""
        prompt = self.recommender.read(group.lesson.prompts)
        trace = None
        if isinstance(self.recommender.latent_loop, Halts | Writes):  # what it does has a probability too
            trace = self._think(self.recommender, prompt, group, world_max(group.depth))
        levels = self.recommender.prompts.table.tokens.shape[1]
        nothing = prompt.h0.new_full((*group.items.shape, levels), torch.nan)
        return self._rollout(group, prompt, nothing, nothing, trace=trace)

    def _rollout(
        self,
        group: Group,
        prompt: Prompt,
        logp: Float[Tensor, "B G M"],
        ref_logp: Float[Tensor, "B G M"],
        ref_kl: Float[Tensor, "B G M"] | None = None,
        trace: LatentTrace | None = None,
    ) -> Rollout:
        halt_logp = None if trace is None or trace.depth_logp is None else trace.depth_logp[:, 0]
        written_logp = None if trace is None else trace.written_logp
        old = group.old
        return Rollout(
            logp=logp,
            old_logp=logp.detach() if old is None else old.logp,
            ref_logp=ref_logp,
            rewards=group.rewards,
            valid=group.items >= 0,
            depth=group.depth,
            depth_logp=self.recommender.depth_policy.logits(prompt)[:, 0].float().log_softmax(-1),
            depth_index=group.depth_index,
            world_reward=group.world_reward,
            ref_kl=ref_kl,
            old_depth_logp=None if old is None else old.depth_logp,
            halt_logp=halt_logp,
            old_halt_logp=None if old is None else old.halt_logp,
            written=None if group.written is None else group.written >= 0,
            written_logp=written_logp,
            old_written_logp=None if old is None else old.written_logp,
        )

    def _score(self, model: Recommender, group: Group, steps: int) -> Scored:
        """Read prompt, thoughts and candidates once each."""
        prompt = model.read(group.lesson.prompts)
        trace = self._think(model, prompt, group, steps)
        tokens = self.scorer.tokens[group.items.clamp_min(0)]
        return Scored(prompt, trace, model.answer_states(trace, tokens), tokens)

    def _think(self, model: Recommender, prompt: Prompt, group: Group, steps: int) -> LatentTrace:
        """Think or write once more, with gradients, what the rollout thought or wrote."""
        loop, depth = model.latent_loop, group.depth[:, None]
        if isinstance(loop, Writes) and group.written is not None:
            return loop.spell(model.backbone, prompt.branched(group.written.shape[1]), group.written)
        if isinstance(loop, Halts):
            return loop.halted(model.backbone, prompt, depth, steps)
        return model.think(prompt, depth, steps)

    def _logp(self, model: Recommender, scored: Scored) -> Float[Tensor, "B G M"]:
        logp = self.scorer.logp(model.backbone, scored.states.flatten(0, 1), scored.tokens.flatten(0, 1))
        return logp.view(scored.tokens.shape)

    def _exact_kl(self, scored: Scored, model: Recommender, reference: Scored) -> Float[Tensor, "B G M"]:
        """KL of the policy from the reference over all that competes at each place."""
        ours, theirs, flat = self.recommender.backbone, model.backbone, scored.tokens.flatten(0, 1)

        def some(states: Tensor, reference: Tensor, tokens: Tensor) -> Tensor:
            pairs = zip(
                self.scorer.distributions(ours, states, tokens),
                self.scorer.distributions(theirs, reference, tokens),
                strict=True,
            )
            return torch.stack([exact_kl(p, q.detach()) for (p, _), (q, _) in pairs], dim=-1)

        states = scored.states.flatten(0, 1), reference.states.flatten(0, 1)
        return in_parts(some, self.scorer.width(ours, flat), *states, flat).view(scored.tokens.shape)


def compared(objectives: Iterable[RLObjective]) -> bool:
    """Whether any of them compares answers with the reference."""
    return any(
        objective.reads_answers and (not isinstance(objective, SparesReference) or objective.reads_reference)
        for objective in objectives
    )


def joined(rollouts: Sequence[Rollout]) -> Rollout:
    """Rollouts of some prompts each as one."""
    first, *others = rollouts
    if not others:
        return first
    together: dict[str, Tensor] = {
        name: torch.cat([getattr(rollout, name) for rollout in rollouts])
        for name, value in vars(first).items()
        if isinstance(value, Tensor) and value.ndim
    }
    return replace(first, **together)


def depth_numbers(depth: Int[Tensor, " B"], largest: int) -> dict[str, float]:
    """Mean depth, and the share of prompts at each."""
    depth = depth.cpu()  # once: each number read off an accelerator waits for it
    shares = (torch.bincount(depth, minlength=largest + 1).float() / len(depth)).tolist()
    named = {f"depth_{value}": share for value, share in enumerate(shares) if share > 0}
    return {"depth": float(depth.float().mean()), **named}


def hit(items: Int[Tensor, "B G"], target: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
    """Whether the target is among the candidates of each prompt."""
    return (items == target[:, None]).any(1)
