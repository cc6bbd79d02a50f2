"""Coconut's multi-stage training (Hao et al. 2024, arXiv:2412.06769, section 3; after its code).

At stage k the first k steps of a text give way to k c thoughts, each fed the state before it, and the others
are written behind them: `[prompt] <|lat_s|> thought 1 .. k c <|lat_e|> step k + 1 .. <|steps_e|> [answer]` is
one path of the tree. There are always k c thoughts, however few steps a text has (the authors' option
`pad_latent_to_max`), since nothing tells the number of steps of a text that is yet to be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.chains import follow
from lasar_kit.core.feedback import fed_norm, read_behind, rescale
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.token_logp import token_logp
from lasar_kit.core.values import Context, Env, LatentTrace, Prompt
from lasar_kit.core.vocabulary import LATENT_END, LATENT_START
from lasar_kit.core.words import Words
from lasar_plugins.latent_loop.coconut_curriculum.config import END, CoconutCurriculumConfig
from lasar_plugins.latent_loop.coconut_curriculum.steps import numbered, packed

WRITES = "it thinks as long as its options say, and writes: a depth only says whether"


@dataclass(frozen=True)
class Begun:
    """The thoughts of all branches, and the state, node and context behind `<|lat_e|>`."""

    thoughts: Float[Tensor, "B R K D"]
    state: Float[Tensor, "B R D"]
    tip: Int[Tensor, "B R"]
    context: Context


class CoconutCurriculum:
    """Thinks, then writes greedily; words are all tokens but SIDs, latent and special ones.

    What it leaves as `written` ends with `<|steps_e|>`, by which `spell` tells what is left of a text from a
    whole one. A branch of depth 0, and one for which no text is given, answers right behind its prompt.
    """

    transparent = False
    contract_exceptions: Mapping[str, str] = {
        "mask_counts_the_depth": WRITES,
        "many_tokens_and_thoughts_are_as_few": WRITES,
        "depth_is_felt": WRITES,
    }

    def __init__(self, config: CoconutCurriculumConfig, env: Env) -> None:
        self.config = config
        names = [LATENT_START, LATENT_END, END]
        self.start, self.left, self.end = env.tokenizer.convert_tokens_to_ids(names)
        meant = {*Words(env.tokenizer, env.vocabulary).meant.tolist()} - {self.end}
        words = [token for token in range(len(env.tokenizer)) if token not in meant]
        self.words: Int[Tensor, " A"] = torch.tensor(words, device=env.device)
        heading = env.tokenizer(config.heading, add_special_tokens=False)["input_ids"]
        self.heading: Int[Tensor, " n"] = torch.tensor(heading, device=env.device)

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Think and write where `depth[b, r]` is not 0."""
        begun, wants = self.begin(backbone, prompt), depth > 0
        words = depth[..., None][..., :0] if self.config.drop else self.write(backbone, begun, wants)
        return self.read(backbone, prompt, begun, wants, packed(words, (words >= 0) & (words != self.end)))

    def spell(self, backbone: Backbone, prompt: Prompt, written: Int[Tensor, "B R W"]) -> LatentTrace:
        """Read a text without the steps that thoughts stand for, or what `run` has left of one."""
        wrote, begun = (written >= 0).any(-1), self.begin(backbone, prompt)
        return self.read(backbone, prompt, begun, wrote, self.left_of(written)[..., : self.config.limit])

    def left_of(self, written: Int[Tensor, "B R W"]) -> Int[Tensor, "B R V"]:
        """The words that are left of each text."""
        if self.config.drop:
            return written[..., :0]
        ended = (written == self.end).any(-1, keepdim=True)
        kept = ended | (numbered(written, self.heading) >= self.config.replaced)
        return packed(written, kept & (written >= 0) & (written != self.end))

    def begin(self, backbone: Backbone, prompt: Prompt) -> Begun:
        """Think in all branches alike."""
        state, tip, context = self._token(backbone, self.start, prompt.tip, prompt.context)
        norm = fed_norm(backbone, self.config.feedback_scale)
        thoughts = []
        for _ in range(self.config.replaced * self.config.thoughts):
            fed = state if norm is None else rescale(state, norm)
            state, tip, context = read_behind(backbone, fed, tip, context)
            thoughts.append(state)
        held = torch.stack(thoughts, dim=2) if thoughts else state[:, :, None][:, :, :0]
        return Begun(held, *self._token(backbone, self.left, tip, context))

    @torch.no_grad()
    def write(self, backbone: Backbone, begun: Begun, wants: Bool[Tensor, "B R"]) -> Int[Tensor, "B R limit"]:
        """Tokens, the end among them, -1 past it. All branches run to the limit, so that all processes do."""
        state, tip, context = begun.state, begun.tip, begun.context
        ended, found = ~wants, list[Tensor]()
        for place in range(self.config.limit):
            token = self.words[backbone.logits(state, self.words).argmax(-1)]
            found.append(torch.where(ended, -1, token))
            ended = ended | (token == self.end)
            if place + 1 < self.config.limit:
                state, tip, context = read_behind(backbone, backbone.embed(token), tip, context)
        return torch.stack(found, dim=-1)

    def read(
        self,
        backbone: Backbone,
        prompt: Prompt,
        begun: Begun,
        wrote: Bool[Tensor, "B R"],
        words: Int[Tensor, "B R W"],
    ) -> LatentTrace:
        """The trace behind these words and the end, which has a probability unless the limit put it there."""
        length = (words >= 0).sum(-1, keepdim=True)
        ends = torch.full_like(length, self.end)
        ids = torch.cat([words.where(words >= 0, ends.expand_as(words)), ends], dim=-1)
        states, _, context = follow(backbone, ids, begun.tip, begun.context)
        at = length[..., None].expand(-1, -1, 1, states.shape[-1])
        branch, width = torch.arange(ids.shape[1], device=ids.device), ids.shape[2]
        node = begun.context.length + branch * width + length[..., 0]
        place = torch.arange(width, device=ids.device)
        told = (place <= length) & wrote[..., None]
        free = told & (place < (0 if self.config.drop else self.config.limit))
        before = torch.cat([begun.state[:, :, None], states[:, :, :-1]], dim=2)
        logp = states.new_zeros(told.shape, dtype=torch.float32)
        index = torch.searchsorted(self.words, ids[free])
        chosen = token_logp(backbone, before[free], index, self.words)
        return LatentTrace(
            begun.thoughts,
            wrote[..., None].expand(begun.thoughts.shape[:3]),
            torch.where(wrote[..., None], states.gather(2, at)[:, :, 0], prompt.h0),
            torch.where(wrote, node, prompt.tip),
            context,
            depth=wrote * begun.thoughts.shape[2] + told.sum(-1),
            written=ids.masked_fill(~told, -1),
            written_logp=logp.masked_scatter(free, chosen),
        )

    def _token(
        self, backbone: Backbone, token: int, parent: Int[Tensor, "B R"], past: Context
    ) -> tuple[Float[Tensor, "B R D"], Int[Tensor, "B R"], Context]:
        return read_behind(backbone, backbone.embed(torch.full_like(parent, token)), parent, past)
