"""Reasoning in words on the token tree: `[prompt] <think> word 1 .. word n </think> [answer]` is one path.

The end is written like a word, and has its probability, unless the limit put it there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torch.nn.functional import pad

from lasar_kit.core.chains import follow
from lasar_kit.core.draws import RowDraws
from lasar_kit.core.interfaces import Backbone
from lasar_kit.core.token_logp import token_logp
from lasar_kit.core.values import Env, LatentTrace, Prompt
from lasar_kit.core.vocabulary import END_THINK, THINK
from lasar_kit.core.words import Words
from lasar_plugins.latent_loop.written.config import WrittenConfig
from lasar_plugins.latent_loop.written.draws import inverted, numbers_of
from lasar_plugins.latent_loop.written.paths import Paths

WRITES = "it writes until it ends its text: a depth only says whether"
OFTEN = 8
"""Words after which it is looked whether all texts are ended: each look waits for an accelerator."""


class WrittenLoop:
    """Writes greedily, or draws: in rollouts, whose numbers `draw_from` gives, and by option.

    Words are all tokens but SIDs, latent and special ones; probabilities are normalised over these and the
    end. A text is one thought, the state at its end; a branch of depth 0 has none and answers right behind
    its prompt, as one does for which no text is given.
    """

    transparent = False
    contract_exceptions: Mapping[str, str] = {
        "mask_counts_the_depth": WRITES,
        "depth_is_felt": WRITES,
        "many_tokens_and_thoughts_are_as_few": WRITES,
    }

    def __init__(self, config: WrittenConfig, env: Env) -> None:
        self.config, self.limit = config, config.limit
        self.open, self.close = env.tokenizer.convert_tokens_to_ids([THINK, END_THINK])
        meant = {*Words(env.tokenizer, env.vocabulary).meant.tolist()} - {self.close}
        words = [token for token in range(len(env.tokenizer)) if token not in meant]
        self.words: Int[Tensor, " A"] = torch.tensor(words, device=env.device)
        self.given: RowDraws | None = None

    def draw_from(self, draws: RowDraws) -> None:
        """Draw the next texts by these numbers."""
        self.given = draws

    def run(self, backbone: Backbone, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int) -> LatentTrace:
        """Write where `depth[b, r]` is not 0; without `steps` nowhere."""
        given, self.given = self.given, None
        if not steps:
            return _direct(prompt, 1)
        return self.spell(backbone, prompt, self.write(backbone, prompt, depth > 0, given))

    @torch.no_grad()
    def write(
        self, backbone: Backbone, prompt: Prompt, wants: Bool[Tensor, "B R"], given: RowDraws | None = None
    ) -> Int[Tensor, "B R W"]:
        """Tokens, the end among them where it was written, -1 past it."""
        token, ended, found = torch.full_like(prompt.tip, self.open), ~wants, list[Tensor]()
        tip, context = prompt.tip, prompt.context
        for place in range(self.limit):
            states, tip, context = follow(backbone, token[..., None], tip, context)
            token = self.words[self._choice(self._logits(backbone, states[:, :, 0]), prompt, place, given)]
            found.append(torch.where(ended, -1, token))
            ended = ended | (token == self.close)
            token = torch.where(ended, self.open, token)  # for nothing, as others still write
            if place % OFTEN == OFTEN - 1 and bool(ended.all()):
                break
        return torch.stack(found, dim=-1)

    def spell(self, backbone: Backbone, prompt: Prompt, written: Int[Tensor, "B R W"]) -> LatentTrace:
        """Read a text of at most `limit` tokens; one that has no end is given it, with its probability where
        the text is shorter than the limit."""
        room = max(written.shape[-1], 1)
        words = (((written < 0) | (written == self.close)).cumsum(-1) == 0)[..., : self.limit]
        wrote, length = (written >= 0).any(-1), words.sum(-1)
        longest = int(length.max()) if words.numel() else 0
        ids = torch.where(words, written[..., : self.limit], self.close)[..., :longest]
        ids = pad(pad(ids, (1, 0), value=self.open), (0, 1), value=self.close)
        path = Paths.of(torch.where(wrote, length + 2, 0), longest + 2)
        if not path.width:
            return _direct(prompt, min(room, self.limit))
        states, context = path.read(backbone, ids, prompt)
        place = torch.arange(longest + 1, device=ids.device)
        counted = (place <= length[..., None]) & (place < self.limit) & wrote[..., None]
        logp = self._logp(backbone, path.states(states, place), ids[..., 1:], counted)
        width = min(max(room, longest + 1), self.limit)
        text = ids[..., 1:].masked_fill(~counted, -1)
        end = path.states(states, (length + 1)[..., None])
        last = torch.where(wrote[..., None], end[:, :, 0], prompt.h0)
        tip = torch.where(wrote, prompt.context.length + path.start + length + 1, prompt.tip)
        return LatentTrace(
            end,
            wrote[..., None],
            last,
            tip,
            context,
            written=pad(text, (0, width - longest - 1), value=-1),
            written_logp=pad(logp, (0, width - longest - 1)),
        )

    def _logp(
        self,
        backbone: Backbone,
        states: Float[Tensor, "B R q D"],
        ids: Int[Tensor, "B R q"],
        counted: Bool[Tensor, "B R q"],
    ) -> Float[Tensor, "B R q"]:
        """Log-probabilities of what was written among all words and the end, 0 elsewhere."""
        index = torch.searchsorted(self.words, ids[counted])
        chosen = token_logp(backbone, states[counted], index, self.words)
        return torch.zeros(ids.shape, device=ids.device).masked_scatter(counted, chosen)

    def _logits(self, backbone: Backbone, states: Float[Tensor, "*S D"]) -> Float[Tensor, "*S A"]:
        """Of all words and the end."""
        return backbone.logits(states, self.words).float()

    def _choice(
        self, logits: Float[Tensor, "B R A"], prompt: Prompt, place: int, given: RowDraws | None
    ) -> Int[Tensor, "B R"]:
        """Which word is written at a place of the text."""
        numbers: Float64[Tensor, "B R"]
        if given is not None:
            numbers = given.uniform(logits.shape[1])
        elif self.config.text == "sample":
            numbers = numbers_of(prompt, place)
        else:
            return logits.argmax(-1)
        return inverted(logits / self.config.temperature, numbers)


def _direct(prompt: Prompt, width: int) -> LatentTrace:
    """Nothing written, in so many columns."""
    written = prompt.tip.new_full((*prompt.tip.shape, width), -1)
    return LatentTrace(
        prompt.h0[:, :, None][:, :, :0],
        torch.zeros((*prompt.tip.shape, 0), dtype=torch.bool, device=prompt.tip.device),
        prompt.h0,
        prompt.tip,
        prompt.context,
        written=written,
        written_logp=torch.zeros_like(written, dtype=torch.float32),
    )
