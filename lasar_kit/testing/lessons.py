"""Lessons of drawn shape, and the view that an SFT objective gets of them, on the tiny backbone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.chains import follow, read_chains
from lasar_kit.core.lesson import Lesson, Prompts, TaskRows
from lasar_kit.core.values import Anchors, Env, LatentTrace, Prompt
from lasar_kit.testing import tiny
from lasar_kit.testing.strategies import SEEDS, numbers
from lasar_kit.testing.tiny import WIDTH, TinyBackbone, TinyDecoder, TinyLoop, TinyPolicy

MOST = 3
"""Most segments of a prompt, and the deepest that the tiny policy thinks."""


@dataclass(frozen=True)
class Teaching:
    """B rows with R prompts each: token ids, which prompts count, and how many segments each has."""

    prompts: list[list[int]]
    mask: list[list[bool]]
    segments: list[list[int]]
    seed: int = 0

    @property
    def lesson(self) -> Lesson:
        """Prompt r ends r tokens before the row does, answers have two tokens, rationales up to three."""
        rows, branches = len(self.mask), len(self.mask[0])
        width = max(map(len, self.prompts))
        padded = [[0] * (width - len(row)) + row for row in self.prompts]
        lengths = torch.tensor([len(row) for row in self.prompts])
        tips = width - 1 - torch.minimum(torch.arange(branches), lengths[:, None] - 1)
        prompts = Prompts(
            ids=torch.tensor(padded),
            lengths=lengths,
            tips=tips,
            mask=torch.tensor(self.mask),
            items=tips - (width - lengths)[:, None] + 1,
            tail=torch.zeros(0, dtype=torch.int64),
        )
        draw = torch.Generator().manual_seed(self.seed)
        label = torch.tensor(self.segments)
        anchored = torch.arange(MOST) < label[..., None]
        states = numbers(rows, branches, MOST, WIDTH, seed=self.seed) * anchored[..., None]
        words = torch.randint(3, 6, (rows, branches, MOST), generator=draw)
        return Lesson(
            prompts=prompts,
            targets=torch.randint(0, 8, (rows, branches, 2), generator=draw),
            anchors=Anchors(states, anchored),
            depth=label.clamp_min(1),
            label=label,
            rationale=torch.where(anchored, words, -1),
        )


@st.composite
def teachings(draw: st.DrawFn) -> Teaching:
    """Up to three rows of up to two prompts, of which some do not count and some have no reasoning."""
    branches = draw(st.integers(1, 2))
    rows = draw(st.integers(1, 3))
    token, segment = st.integers(3, 13), st.integers(0, MOST)
    prompt = st.lists(token, min_size=2, max_size=4)

    def table(values: st.SearchStrategy[Any]) -> list[list[Any]]:
        row = st.lists(values, min_size=branches, max_size=branches)
        return draw(st.lists(row, min_size=rows, max_size=rows))

    prompts = draw(st.lists(prompt, min_size=rows, max_size=rows))
    return Teaching(prompts, table(st.booleans()), table(segment), draw(SEEDS))


class TinyView:
    """Satisfies `lasar_kit.core.sft_view.SftView`, on models of its own."""

    def __init__(self, lesson: Lesson, rows: TaskRows | None = None) -> None:
        env = Env(seed=11, hidden_size=WIDTH, vocabulary=tiny.VOCABULARY)
        self.lesson, self.own = lesson, rows
        self.backbone: Any = TinyBackbone(None, env)
        self.latent_loop: Any = TinyLoop(None, env)
        self.depth_policy: Any = TinyPolicy(None, env)
        self.decoder: Any = TinyDecoder(None, env)

    @property
    def rows(self) -> TaskRows:
        """The samples of the objective's own."""
        assert self.own is not None
        return self.own

    @property
    def weights(self) -> list[Tensor]:
        """All that a loss may train."""
        parts = (self.backbone, self.latent_loop, self.depth_policy)
        return [weight for part in parts for weight in part.parameters()]

    @cached_property
    def prompt(self) -> Prompt:
        """The prompts, read."""
        asked = self.lesson.prompts
        states, context = read_chains(self.backbone, asked.ids, asked.lengths)
        h0 = states.gather(1, asked.tips[..., None].expand(-1, -1, states.shape[-1]))
        first = asked.ids.shape[1] - asked.lengths
        return Prompt(h0, asked.tips, context, states, first, asked.tips, asked.items)

    @cached_property
    def trace(self) -> LatentTrace:
        """Thoughts as deep as the lesson says, and its rationale as if it had been written beside them."""
        assert self.lesson.depth is not None
        trace: LatentTrace = self.latent_loop.run(self.backbone, self.prompt, self.lesson.depth, MOST)
        written = self.lesson.rationale
        if written is None:
            return trace
        states, _, _ = follow(self.backbone, written.clamp_min(0), self.prompt.tip, self.prompt.context)
        before = torch.cat([self.prompt.h0[:, :, None], states[:, :, :-1]], dim=2)
        logp = self.backbone.logits(before).float().log_softmax(-1)
        logp = logp.gather(-1, written.clamp_min(0)[..., None])[..., 0]
        return replace(trace, written=written, written_logp=logp.masked_fill(written < 0, 0.0))

    @cached_property
    def answers(self) -> Float[Tensor, "B R M D"]:
        """The states that predict the targets."""
        fed, _, _ = follow(self.backbone, self.lesson.targets[..., :-1], self.trace.tip, self.trace.context)
        return torch.cat([self.trace.last[:, :, None], fed], dim=2)

    def token_logp(
        self,
        states: Float[Tensor, "n m D"],
        tokens: Int[Tensor, "n m"],
        temperature: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n m"]:
        """Over the whole vocabulary."""
        logits = self.backbone.logits(states).float()
        if temperature is not None:
            logits = logits / temperature[:, None, None]
        logp: Tensor = logits.log_softmax(-1)
        return logp.gather(-1, tokens[..., None])[..., 0]

    def again(self, noise: float = 0.0) -> TinyView:
        """The same models, the states read anew; noise is not drawn."""
        other = TinyView(self.lesson, self.own)
        other.backbone, other.latent_loop = self.backbone, self.latent_loop
        other.depth_policy, other.decoder = self.depth_policy, self.decoder
        return other


def without_reasoning(lesson: Lesson) -> Lesson:
    """The lesson with no prompt that counts."""
    nobody = torch.zeros_like(lesson.prompts.mask)
    assert lesson.label is not None
    return replace(lesson, prompts=replace(lesson.prompts, mask=nobody), label=torch.zeros_like(lesson.label))
