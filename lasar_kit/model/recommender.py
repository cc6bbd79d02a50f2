"""A recommender: backbone, latent loop, depth policy and decoder, put together and read as one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lasar_kit.core.allowed import Allowed
from lasar_kit.core.capabilities import Extends, Opens, ReadsPrompts, SearchesAmong
from lasar_kit.core.chains import follow, opened, read_chains
from lasar_kit.core.depth import greedy_depth
from lasar_kit.core.interfaces import Backbone, Decoder, DepthPolicy, LatentLoop
from lasar_kit.core.lesson import Prompts
from lasar_kit.core.values import Beams, Env, LatentTrace, Prompt
from lasar_kit.data.sids import Sids
from lasar_kit.model.parts import TRAINED, Parts, restore, restore_decoder, save_decoder
from lasar_kit.model.prompts import PromptBuilder

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import DecoderConfig


class Answered(NamedTuple):
    """Answers to a batch: lists of ranked items, the depth of each prompt, and the token ids that a loop
    which writes left, -1 past the end."""

    lists: list[Beams]
    depth: Int[Tensor, "B R"]
    written: Int[Tensor, "B R W"] | None


class Recommender(nn.Module):
    """Histories in, ranked items out.

    A `LatentLoop` or `DepthPolicy` that is a `torch.nn.Module` has its weights trained and saved with the
    backbone's.
    """

    def __init__(
        self,
        backbone: Backbone,
        latent_loop: LatentLoop,
        depth_policy: DepthPolicy,
        decoder: Decoder,
        prompts: PromptBuilder,
        parts: Parts,
        decoder_config: DecoderConfig | None = None,
    ) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.latent_loop: Any = latent_loop
        self.depth_policy: Any = depth_policy
        self.decoder, self.decoder_config = decoder, decoder_config
        self.prompts = prompts
        self.parts = parts
        self.choose_depth: Callable[[DepthPolicy, Prompt], Tensor] = greedy_depth

    @classmethod
    def build(
        cls,
        catalogue: Catalogue,
        parts: Parts,
        decoder: DecoderConfig,
        sids: Sids,
        env: Env,
    ) -> Recommender:
        """From configs; weights come from `env.checkpoint` if it names one, else from `env.seed`."""
        backbone = catalogue.build("backbone", parts.backbone, env).to(env.device)
        table = sids.table(backbone.tokenizer)
        inner = replace(
            env,
            hidden_size=backbone.hidden_size,
            tokenizer=backbone.tokenizer,
            vocabulary=(*sids.vocabulary, *parts.latent_loop.tokens),
            head=backbone.logits,
            frozen=lambda: copy.deepcopy(backbone).eval(),
            table=table,
        )
        loop = catalogue.build("latent_loop", parts.latent_loop, inner)
        policy = catalogue.build("depth_policy", parts.depth_policy, inner)
        for name, part in zip(TRAINED, (loop, policy), strict=True):
            if isinstance(part, nn.Module):
                stored = env.checkpoint / f"{name}.safetensors" if env.checkpoint else None
                if stored is not None and stored.is_file():
                    restore(part, load_file(stored), name, parts, stored.parent)
                part.to(env.device)
        searcher = catalogue.build("decoder", decoder, inner)
        if isinstance(searcher, nn.Module):
            restore_decoder(searcher, decoder, env.checkpoint)
            searcher.to(env.device)
        searcher.bind(table)
        template = catalogue.build("prompt", parts.prompt, inner)
        prompts = PromptBuilder(template, backbone.tokenizer, table, parts.max_history, parts.prompt.use)
        return cls(backbone, loop, policy, searcher, prompts, parts, decoder)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        device: torch.device = next(self.backbone.parameters()).device
        return device

    def read(self, prompts: Prompts) -> Prompt:
        """Read a batch's prompts."""
        if isinstance(self.backbone, ReadsPrompts):
            return replace(self.backbone.read_prompts(prompts), shown=prompts.shown)
        ids, lengths, opening = prompts.ids, prompts.lengths, self._opening(prompts)
        if opening is not None:
            ids, lengths = opened(ids, lengths, opening)
        chain_BLD, context = read_chains(self.backbone, ids, lengths)
        shown: dict[str, Any] = {
            "states": chain_BLD[:, : prompts.ids.shape[1]],
            "first": prompts.ids.shape[1] - prompts.lengths,
            "ends": prompts.tips,
            "items": prompts.items,
            "shown": prompts.shown,
            "opened": None if opening is None else chain_BLD[:, -1:],
        }
        if len(prompts.tail) == 0:
            index = prompts.tips[..., None].expand(-1, -1, chain_BLD.shape[-1])
            return Prompt(chain_BLD.gather(1, index), prompts.tips, context, **shown)
        ids = prompts.tail.expand(*prompts.tips.shape, -1)
        states, tip, context = follow(self.backbone, ids, prompts.tips, context)
        return Prompt(states[:, :, -1], tip, context, **shown, tail=states)

    def _opening(self, prompts: Prompts) -> int | None:
        """The token to read behind these prompts, for the loop. With gradients none: it has a call of its own
        in training."""
        if torch.is_grad_enabled() or not prompts.whole or not isinstance(self.latent_loop, Opens):
            return None
        token = self.latent_loop.opening
        return None if token is None else int(self.backbone.tokenizer.convert_tokens_to_ids(token))

    def think(self, prompt: Prompt, depth: Int[Tensor, "B R"], steps: int | None = None) -> LatentTrace:
        """Run the loop at these depths, `steps` thoughts in all branches, as many as the deepest needs where
        absent."""
        most = int(depth.max()) if steps is None else steps
        trace: LatentTrace = self.latent_loop.run(self.backbone, prompt, depth, most)
        return replace(trace, shown=prompt.shown)

    def answer_states(self, trace: LatentTrace, tokens: Int[Tensor, "B A M"]) -> Float[Tensor, "B A M D"]:
        """Return the states that predict A answers' tokens: one behind each branch, or all behind one."""
        answers = tokens.shape[1]
        last = trace.last.expand(-1, answers, -1)[:, :, None]
        tip, context = trace.tip.expand(-1, answers), trace.context
        if tokens.shape[-1] == 1:
            return last
        if trace.between is None:
            fed, _, _ = follow(self.backbone, tokens[..., :-1], tip, context)
            return torch.cat([last, fed], dim=2)
        states = [last]
        for level in range(tokens.shape[-1] - 1):
            fed, tip, context = follow(self.backbone, tokens[..., level : level + 1], tip, context)
            state, tip, context = trace.between(fed[:, :, 0], tip, context)
            states.append(state[:, :, None])
        return torch.cat(states, dim=2)

    @torch.no_grad()
    def item_vectors(self) -> Float[np.ndarray, "I E"]:
        """Return the input embeddings of each item's tokens, without dropout, side by side."""
        training = self.training
        self.eval()
        rows = self.backbone.embed(self.prompts.table.tokens.to(self.device)).flatten(1)
        self.train(training)
        vectors: Float[np.ndarray, "I E"] = rows.float().cpu().numpy()
        return vectors

    def frozen(self) -> Recommender:
        """A copy that stays as it is while this one is trained, in evaluation mode.

        Parameters that are not trained are shared with it: under adapters, all of the base's weights.
        """
        shared: dict[int, Any] = {id(p): p for p in self.parameters() if not p.requires_grad}
        return copy.deepcopy(self, shared).requires_grad_(False).eval()

    @torch.inference_mode()
    def recommend(
        self, prompts: Prompts, width: int, allowed: Sequence[Allowed | None] = (None,)
    ) -> Answered:
        """Ranked items of each prompt, a list for each of what is `allowed` (None for all); read and thought
        about once.

        A decoder that does not search among some (`SearchesAmong`) leaves in a list what is not allowed.
        """
        prompt = self.read(prompts.to(self.device))
        depth = self.choose_depth(self.depth_policy, prompt)
        trace = self.think(prompt, depth)
        lists = [self.search(trace, width, limit) for limit in allowed]
        return Answered(lists, depth if trace.depth is None else trace.depth, trace.written)

    def texts(self, written: Int[Tensor, "n W"]) -> list[str]:
        """Read what a loop wrote, without its own tokens, such as the end; empty where it wrote nothing."""
        tokenizer = self.backbone.tokenizer
        own = set(tokenizer.convert_tokens_to_ids(list(self.parts.latent_loop.tokens)))
        rows = [[token for token in row if token >= 0 and token not in own] for row in written.tolist()]
        return [tokenizer.decode(row) if row else "" for row in rows]

    def search(self, trace: LatentTrace, width: int, allowed: Allowed | None = None) -> Beams:
        """Ranked items behind each branch, of those that are allowed."""
        if allowed is not None and isinstance(self.decoder, SearchesAmong):
            return self.decoder.search_among(self.backbone, trace, width, allowed)
        return self.decoder.search(self.backbone, trace, width)

    def extend(self, tokens: Int[Tensor, "n M"]) -> None:
        """Take n more items into the catalogue, behind those that there are: histories may hold them, and
        lists. Nothing is trained, so the tokens must be of SIDs that the model has."""
        table = self.prompts.table.grown(tokens)
        if isinstance(self.decoder, Extends):
            self.decoder.extend(table)
        else:
            self.decoder.bind(table)
        if isinstance(self.latent_loop, Extends):
            self.latent_loop.extend(table)
        self.prompts.extend(table)

    def save(self, folder: Path) -> None:
        """Write a folder that `AutoModelForCausalLM`, `AutoTokenizer` and `Recommender.load` all read."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backbone.save(folder)
        self.save_parts(folder)

    def save_parts(self, folder: Path) -> None:
        """Write what there is beside the backbone: all options, and weights of the other components."""
        self.parts.save(folder)
        if isinstance(self.decoder, nn.Module):
            save_decoder(self.decoder, self.decoder_config, folder)
        for name in TRAINED:
            part = getattr(self, name)
            if isinstance(part, nn.Module) and (state := part.state_dict()):
                save_file(
                    {key: value.contiguous() for key, value in state.items()}, folder / f"{name}.safetensors"
                )

    @classmethod
    def load(
        cls, folder: Path, catalogue: Catalogue, decoder: DecoderConfig, sids: Sids, env: Env
    ) -> Recommender:
        """Read what `save` wrote, with a decoder for the catalogue `sids`."""
        parts = Parts.load(folder, catalogue)
        return cls.build(catalogue, parts, decoder, sids, replace(env, checkpoint=folder))
