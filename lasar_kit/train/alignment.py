"""An aligner for the training stages: building it, and counting what its loss is a mean over."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from lasar_kit.core.interfaces import Aligner
from lasar_kit.core.values import Env
from lasar_kit.data.stage_context import StageContext
from lasar_kit.model.parts import Parts
from lasar_kit.model.recommender import Recommender
from lasar_kit.spec import ComponentConfig
from lasar_kit.train.start import item_vectors


class Head(Protocol):
    """Next-token logits of states."""

    def __call__(self, states: Float[Tensor, "*S D"]) -> Float[Tensor, "*S V"]: ...


def objective_env(context: StageContext, recommender: Recommender) -> Env:
    """Surroundings of what works on a recommender's states, and on anchors that another backbone may have
    read."""
    backbone, device = recommender.backbone, str(recommender.device)
    return context.env(
        device=device,
        hidden_size=backbone.hidden_size,
        tokenizer=backbone.tokenizer,
        vocabulary=(*context.sids().vocabulary, *recommender.parts.latent_loop.tokens),
        table=recommender.prompts.table,
        item_vectors=partial(item_vectors, context, device),
        head=backbone.logits,
        frozen_head=lambda: _anchor_head(context, recommender),
    )


def build_aligner(context: StageContext, config: ComponentConfig, recommender: Recommender) -> Aligner:
    """An aligner for a recommender's states."""
    env = objective_env(context, recommender)
    aligner: Aligner = context.catalogue.build("aligner", config, env)
    return aligner


def _anchor_head(context: StageContext, recommender: Recommender) -> Head:
    """The head of the backbone that read the anchors, as it was then.

    That is the checkpoint which their stage read; anchors of a stage that read none are taken for the
    recommender's own.
    """
    folder = context.origins.get("anchors", {}).get("checkpoint")
    if folder is None:
        return frozen_head(recommender.backbone)
    config = Parts.load(folder, context.catalogue).backbone
    device = str(recommender.device)
    env = context.env(device=device, checkpoint=folder)
    return frozen_head(context.catalogue.build("backbone", config, env).to(device).eval())


@torch.no_grad()
def frozen_head(backbone: Any) -> Head:
    """A backbone's head by itself, which stays as it is while the backbone trains.

    Logits that are linear in the states, as they nearly always are, are kept as one matrix of V * D numbers,
    found by what they make of unit vectors; else the whole backbone is kept, which must then be no longer
    trained.
    """
    example = backbone.embed(torch.zeros(1, dtype=torch.long, device=next(backbone.parameters()).device))
    units = torch.eye(backbone.hidden_size, dtype=example.dtype, device=example.device)
    bias = backbone.logits(torch.zeros_like(units[:1]))[0]
    weight = (backbone.logits(units) - bias).T.contiguous()
    if not torch.allclose(linear(-2 * units[:8], weight, bias), backbone.logits(-2 * units[:8]), atol=1e-3):
        kept: Head = backbone.logits
        return kept
    return lambda states: linear(states, weight, bias)
