"""Explicit reasoning on the token tree: `[prompt] <think> word 1 .. word n </think> [answer]` is one path.

The end is written like a word, and has its probability, unless the limit put it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from lasar_kit.core.chains import follow
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_kit.core.words import Words
from written_cot.config import CLOSE, OPEN, WrittenCotConfig

WRITES = "it writes until it ends its text: a depth only says whether"


class WrittenCot:
    """Writes greedily, or, once `draw_from` gave it numbers, draws.

    Words are all tokens but SIDs, latent and special ones; probabilities are normalised over these and the
    end. A branch of depth 0 answers right behind its prompt, as one does for which no text is given.
    """

    transparent = False
    contract_exceptions: Mapping[str, str] = {
        "mask_counts_the_depth": WRITES,
        "many_tokens_and_thoughts_are_as_few": WRITES,
        "depth_is_felt": WRITES,
        "answer_hangs_on_its_own_thoughts": WRITES,
    }

    def __init__(self, config: WrittenCotConfig, env: Env) -> None:
        self.limit, self.draws = config.limit, config.draws
        self.open, self.close = env.tokenizer.convert_tokens_to_ids([OPEN, CLOSE])
        meant = {*Words(env.tokenizer, env.vocabulary).meant.tolist()} - {self.close}
        words = [token for token in range(len(env.tokenizer)) if token not in meant]
        self.words: Int[Tensor, " A"] = torch.tensor(words, device=env.device)
        self.numbers: RowDraws | None = None

    def draw_from(self, draws: RowDraws) -> None:
        """Draw the next texts by these numbers."""
        self.numbers = draws if self.draws else None

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Write where `depth[b, r]` is not 0."""
        if not steps:
            nothing = prompt.tip.new_full((*prompt.tip.shape, self.limit), -1)
            states = prompt.h0[:, :, None][:, :, :0]
            empty = torch.zeros(states.shape[:3], dtype=torch.bool, device=states.device)
            trace = LatentTrace(states, empty, prompt.h0, prompt.tip, prompt.context, depth)
            return replace(trace, written=nothing, written_logp=nothing.float().clamp_min(0.0))
        return self.spell(backbone, prompt, self.write(backbone, prompt, depth > 0))

    @torch.no_grad()
    def write(
        self, backbone: Backbone, prompt: Prompt, wants: Bool[Tensor, "B R"]
    ) -> Int[Tensor, "B R limit"]:
        """Tokens, the end among them, -1 past it. All branches run to the limit, so that all processes do."""
        numbers, self.numbers = self.numbers, None
        token, ended, found = torch.full_like(prompt.tip, self.open), ~wants, []
        tip, context = prompt.tip, prompt.context
        for _ in range(self.limit):
            states, tip, context = follow(backbone, token[..., None], tip, context)
            logp = self.logp(backbone, states[:, :, 0])
            drawn = None if numbers is None else numbers.uniform(tip.shape[1])
            index = logp.argmax(-1) if drawn is None else inverted(logp, drawn)
            token = self.words[index]
            found.append(torch.where(ended, -1, token))
            ended = ended | (token == self.close)
        return torch.stack(found, dim=-1)

    def spell(self, backbone: Backbone, prompt: Prompt, written: Int[Tensor, "B R W"]) -> LatentTrace:
        """Read a text of at most `limit` tokens; one that has no end is given it, with its probability where
        the text is shorter than the limit."""
        written = written[..., : self.limit]
        _, branches, width = written.shape
        words = ((written < 0) | (written == self.close)).cumsum(-1) == 0
        length = words.sum(-1, keepdim=True)
        wrote = (written >= 0).any(-1)
        ends = torch.full_like(length, self.close)
        ids = torch.cat(
            [torch.full_like(length, self.open), written.where(words, ends.expand_as(words)), ends], dim=-1
        )
        states, _, context = follow(backbone, ids, prompt.tip, prompt.context)
        at = (length + 1)[..., None].expand(-1, -1, 1, states.shape[-1])
        last = torch.where(wrote[..., None], states.gather(2, at)[:, :, 0], prompt.h0)
        branch = torch.arange(branches, device=ids.device)
        node = prompt.context.length + branch * (width + 2) + length[..., 0] + 1
        place = torch.arange(width + 1, device=ids.device)
        counted = (place <= length) & (place < self.limit) & wrote[..., None]
        logp = states.new_zeros(counted.shape, dtype=torch.float32)
        index = torch.searchsorted(self.words, ids[..., 1:][counted])
        chosen = self.logp(backbone, states[:, :, :-1][counted]).gather(-1, index[:, None])[:, 0]
        return LatentTrace(
            states[:, :, 1:-1],
            words,
            last,
            torch.where(wrote, node, prompt.tip),
            context,
            depth=counted.sum(-1),
            written=ids[..., 1:].masked_fill(~counted, -1)[..., : self.limit],
            written_logp=logp.masked_scatter(counted, chosen)[..., : self.limit],
        )

    def logp(self, backbone: Backbone, states: Float[Tensor, "*S D"]) -> Float[Tensor, "*S A"]:
        """Log-probabilities of all words and the end."""
        return backbone.logits(states, self.words).float().log_softmax(-1)


def inverted(logp: Float[Tensor, "B R A"], numbers: Float64[Tensor, "B R"]) -> Int[Tensor, "B R"]:
    """The choices at which cumulative probabilities pass these numbers."""
    # On the CPU: torch has no cumulative sum on a GPU that repeats bit by bit.
    cumulative = logp.double().cpu().exp().cumsum(-1)
    passed = cumulative / cumulative[..., -1:] <= numbers.cpu()[..., None]
    return passed.sum(-1).to(logp.device)
