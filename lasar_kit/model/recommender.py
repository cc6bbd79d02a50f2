"""A recommender: backbone, latent loop, depth policy and decoder, put together and read as one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lasar_kit.core.interfaces import Backbone, Decoder, DepthPolicy, LatentLoop
from lasar_kit.core.token_tree import chain_parents
from lasar_kit.core.values import Beams, Env, LatentTrace, Prompt
from lasar_kit.data.sids import Sids
from lasar_kit.errors import UserError
from lasar_kit.model.depth import greedy_depth
from lasar_kit.model.prompts import PromptBatch, PromptBuilder
from lasar_kit.store.artifacts import read_json, write_json

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue
    from lasar_kit.spec import ComponentConfig

PARTS = "recommender.json"
TRAINED = ("latent_loop", "depth_policy")
"""Components besides the backbone that may hold weights of their own."""


@dataclass(frozen=True)
class Parts:
    """The configs that a recommender is built from; they travel with its checkpoint."""

    backbone: ComponentConfig
    prompt: ComponentConfig
    latent_loop: ComponentConfig
    depth_policy: ComponentConfig
    max_history: int

    def save(self, folder: Path) -> None:
        """Write them as JSON."""
        values = {name: getattr(self, name) for name in ("backbone", "prompt", *TRAINED)}
        dumped = {name: config.model_dump(mode="json") for name, config in values.items()}
        write_json(folder / PARTS, {**dumped, "max_history": self.max_history})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> Parts:
        """What `save` wrote, validated by the catalogue."""
        stored: Mapping[str, Any] = read_json(folder / PARTS)
        context = {"catalogue": catalogue}
        configs = {
            kind: catalogue.config_class(kind, stored[kind]["use"]).model_validate(
                stored[kind], context=context
            )
            for kind in ("backbone", "prompt", *TRAINED)
        }
        return cls(**configs, max_history=stored["max_history"])


def _restore(part: nn.Module, state: Mapping[str, Tensor], name: str, parts: Parts, checkpoint: Path) -> None:
    """Give a component the weights of a checkpoint, or `Misfit` with the options that do not fit them."""
    mine = {key: value.shape for key, value in part.state_dict().items()}
    if mine == {key: value.shape for key, value in state.items()}:
        part.load_state_dict(state)
        return
    now: dict[str, Any] = getattr(parts, name).model_dump(mode="json")
    then: Mapping[str, Any] = read_json(checkpoint / PARTS)[name]
    differing = [
        f"{key} {now.get(key)!r} instead of {then.get(key)!r}"
        for key in {**then, **now}
        if now.get(key) != then.get(key)
    ]
    raise Misfit(
        f"{name}: the checkpoint's weights do not fit {', '.join(differing) or now['use']}; leave this as it "
        "was in the stage before, or set 'fresh: true' to begin anew"
    )


class Misfit(UserError):
    """A component's options do not fit the weights that it is to go on with."""


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
    ) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.latent_loop: Any = latent_loop
        self.depth_policy: Any = depth_policy
        self.decoder = decoder
        self.prompts = prompts
        self.parts = parts
        self.choose_depth: Callable[[DepthPolicy, Tensor], Tensor] = greedy_depth

    @classmethod
    def build(
        cls,
        catalogue: Catalogue,
        parts: Parts,
        decoder: ComponentConfig,
        sids: Sids,
        env: Env,
    ) -> Recommender:
        """From configs; weights come from `env.checkpoint` if it names one, else from `env.seed`."""
        backbone = catalogue.build("backbone", parts.backbone, env).to(env.device)
        inner = Env(seed=env.seed, device=env.device, hidden_size=backbone.hidden_size)
        loop = catalogue.build("latent_loop", parts.latent_loop, inner)
        policy = catalogue.build("depth_policy", parts.depth_policy, inner)
        for name, part in zip(TRAINED, (loop, policy), strict=True):
            if isinstance(part, nn.Module):
                stored = env.checkpoint / f"{name}.safetensors" if env.checkpoint else None
                if stored is not None and stored.is_file():
                    _restore(part, load_file(stored), name, parts, stored.parent)
                part.to(env.device)
        table = sids.table(backbone.tokenizer)
        searcher = catalogue.build("decoder", decoder, inner)
        searcher.bind(table)
        template = catalogue.build("prompt", parts.prompt, inner)
        prompts = PromptBuilder(template, backbone.tokenizer, table, parts.max_history, parts.prompt.use)
        return cls(backbone, loop, policy, searcher, prompts, parts)

    @property
    def device(self) -> torch.device:
        return next(self.backbone.parameters()).device  # type: ignore[no-any-return]

    def read_chain(self, batch: PromptBatch) -> tuple[Float[Tensor, "B L D"], Any]:
        """States of a batch's shared chains, and the context they leave."""
        width = batch.ids.shape[1]
        real = torch.arange(width, device=batch.ids.device) >= width - batch.lengths[:, None]
        states, context = self.backbone.advance(self.backbone.embed(batch.ids), chain_parents(real), None)
        return states, context

    def read(self, batch: PromptBatch) -> Prompt:
        """Read a batch's prompts."""
        chain_BLD, context = self.read_chain(batch)
        if len(batch.tail) == 0:
            index = batch.tips[..., None].expand(-1, -1, chain_BLD.shape[-1])
            return Prompt(chain_BLD.gather(1, index), batch.tips, context)
        ids = batch.tail.expand(*batch.tips.shape, -1)
        states, tip, context = self.follow(ids, batch.tips, context)
        return Prompt(states[:, :, -1], tip, context)

    def follow(
        self, ids: Int[Tensor, "B R Q"], tip: Int[Tensor, "B R"], context: Any
    ) -> tuple[Float[Tensor, "B R Q D"], Int[Tensor, "B R"], Any]:
        """Read a chain of tokens behind each tip; their states, the new tips, the grown context."""
        rows, branches, count = ids.shape
        node = context.length + torch.arange(branches * count, device=ids.device).view(branches, count)
        parent = torch.cat([tip[..., None], node[:, :-1].expand(rows, -1, -1)], dim=-1)
        inputs = self.backbone.embed(ids.reshape(rows, -1))
        states, context = self.backbone.advance(inputs, parent.reshape(rows, -1), context)
        return states.view(rows, branches, count, -1), node[:, -1].expand(rows, -1), context

    def think(self, prompt: Prompt) -> tuple[LatentTrace, Int[Tensor, "B R"]]:
        """Choose a depth for each prompt and run the loop; the trace and the depths."""
        depth = self.choose_depth(self.depth_policy, prompt.h0)
        return self.latent_loop.run(self.backbone, prompt, depth, int(depth.max())), depth

    def answer_states(self, trace: LatentTrace, tokens: Int[Tensor, "B A M"]) -> Float[Tensor, "B A M D"]:
        """What predicts the tokens of A answers: one behind each branch, or all behind the only branch."""
        answers = tokens.shape[1]
        last = trace.last.expand(-1, answers, -1)[:, :, None]
        if tokens.shape[-1] == 1:
            return last
        fed, _, _ = self.follow(tokens[..., :-1], trace.tip.expand(-1, answers), trace.context)
        return torch.cat([last, fed], dim=2)

    def frozen(self) -> Recommender:
        """A copy that stays as it is while this one is trained, in evaluation mode.

        Parameters that are not trained are shared with it: under adapters, all of the base's weights.
        """
        shared: dict[int, Any] = {id(p): p for p in self.parameters() if not p.requires_grad}
        return copy.deepcopy(self, shared).requires_grad_(False).eval()

    @torch.inference_mode()
    def recommend(self, batch: PromptBatch, width: int) -> tuple[Beams, Int[Tensor, "B R"]]:
        """Ranked items of each prompt, and the depth it was thought about."""
        prompt = self.read(batch.to(self.device))
        trace, depth = self.think(prompt)
        return self.decoder.search(self.backbone, trace, width), depth

    def save(self, folder: Path) -> None:
        """Write a folder that `AutoModelForCausalLM`, `AutoTokenizer` and `Recommender.load` all read."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backbone.save(folder)
        self.parts.save(folder)
        for name in TRAINED:
            part = getattr(self, name)
            if isinstance(part, nn.Module) and (state := part.state_dict()):
                save_file(
                    {key: value.contiguous() for key, value in state.items()}, folder / f"{name}.safetensors"
                )

    @classmethod
    def load(
        cls, folder: Path, catalogue: Catalogue, decoder: ComponentConfig, sids: Sids, env: Env
    ) -> Recommender:
        """What `save` wrote, with a decoder for the catalogue `sids`."""
        from dataclasses import replace

        parts = Parts.load(folder, catalogue)
        return cls.build(catalogue, parts, decoder, sids, replace(env, checkpoint=folder))
