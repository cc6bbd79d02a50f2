"""An aligner, an objective and a reward, each in its plainest form."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Anchors, Env, Judged, LatentTrace, Rollout


class TinyAligner:
    """The mean squared difference of thought t and segment t, over those that both are there."""

    def __init__(self, config: Any, env: Env) -> None:
        pass

    def loss(self, trace: LatentTrace, anchors: Anchors) -> Float[Tensor, "B R"]:
        """A mean a branch; what is masked is replaced before anything is computed with it."""
        pairs = min(trace.mask.shape[-1], anchors.mask.shape[-1])
        both = trace.mask[..., :pairs] & anchors.mask[..., :pairs]
        thoughts, segments = trace.states[..., :pairs, :], anchors.states[..., :pairs, :].detach()
        hidden = ~both[..., None]
        distance = self.distance(thoughts.masked_fill(hidden, 0.0), segments.masked_fill(hidden, 0.0))
        return (distance * both).sum(-1) / both.sum(-1).clamp_min(1)

    def distance(self, a: Float[Tensor, "*S D"], b: Float[Tensor, "*S D"]) -> Float[Tensor, "*S"]:
        """Mean squared difference, in float32."""
        return (a.float() - b.float()).square().mean(-1)


class TinySftObjective(nn.Module):
    """Cross-entropy of each answer's first token, times a learned gain, of the prompts that count."""

    needs: tuple[str, ...] = ()

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(env.seed)
        self.gain = nn.Parameter(1 + torch.rand((), generator=generator))

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Prompts that count."""
        return int(lesson.prompts.mask.sum())

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over them."""
        mask = view.lesson.prompts.mask
        return -self.logp(view)[mask].sum()

    def logp(self, view: SftView) -> Float[Tensor, "B R"]:
        """Log-probability of each first token."""
        logp = self.gain * view.backbone.logits(view.trace.last).float().log_softmax(-1)
        return logp.gather(-1, view.lesson.targets[..., :1])[..., 0]


class TinyObjective(nn.Module):
    """REINFORCE on answers and depth at once, weighted by how much likelier each is than when it was drawn,
    with the mean reward so far as baseline."""

    exact_kl = False
    reads_answers = True
    baseline: Float[Tensor, ""]

    def __init__(self, config: Any, env: Env) -> None:
        super().__init__()
        self.register_buffer("baseline", torch.zeros((), device=env.device))

    def loss(self, rollout: Rollout) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Minus the mean advantage-weighted ratio to the old policy, of candidates and of depths."""
        valid = rollout.valid
        advantage = (rollout.rewards.detach() - self.baseline).masked_fill(~valid, 0.0)
        moved = rollout.logp.float() - rollout.old_logp.detach().float()
        answer = moved.masked_fill(~valid[..., None], 0.0).mean(-1).exp()
        depths = rollout.depth_logp if rollout.old_depth_logp is None else rollout.old_depth_logp
        depth = (rollout.depth_logp.float() - depths.detach().float()).gather(1, rollout.depth_index[:, None])
        gain = (advantage * (answer + depth.exp())).sum(1) / valid.sum(1).clamp_min(1)
        return -gain.mean(), {"baseline": float(self.baseline)}

    @torch.no_grad()
    def observe(self, rollout: Rollout) -> None:
        """Move the baseline half the way."""
        self.baseline.copy_((self.baseline + rollout.world_reward) / 2)


class TinyReward:
    """1 for the target."""

    def __init__(self, config: Any, env: Env) -> None:
        pass

    def reward(self, judged: Judged) -> Float[Tensor, "B G"]:
        """Equality, as a number."""
        return (judged.candidates == judged.target[:, None]).float()
