"""The recommender that a training stage begins with, and the item vectors of one that a stage reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lasar_kit.core.item_text import item_text
from lasar_kit.data.sids import Sids
from lasar_kit.data.stage_context import StageContext
from lasar_kit.errors import UserError
from lasar_kit.model.parts import Misfit, Parts
from lasar_kit.model.recommender import Recommender
from lasar_kit.spec import DepthPolicyConfig, LatentLoopConfig


def begin(
    context: StageContext,
    device: str,
    latent_loop: LatentLoopConfig | None = None,
    depth_policy: DepthPolicyConfig | None = None,
    fresh: bool = False,
) -> Recommender:
    """The spec's backbone with a loop and a policy: with the weights of the checkpoint that the stage reads,
    where it reads one and is not to be `fresh`. A loop or a policy that is not given is the checkpoint's, and
    without one there is none. `UserError` where weights do not fit."""
    spec, sids = context.spec, context.sids()
    checkpoint = None if fresh else context.inputs.get("checkpoint")
    loop = latent_loop or _before(context, checkpoint, "latent_loop")
    policy = depth_policy or _before(context, checkpoint, "depth_policy")
    parts = Parts(spec.backbone, spec.prompt, loop, policy, spec.max_history)
    env = context.env(
        device=device,
        vocabulary=(*sids.vocabulary, *loop.tokens),
        corpus=lambda: item_text(context.dataset().items, ("title", "brand", "categories")),
        checkpoint=checkpoint,
    )
    try:
        return Recommender.build(context.catalogue, parts, spec.decoder, sids, env)
    except Misfit as error:
        raise UserError(f"stages.{context.name}.{error}") from None


def item_vectors(context: StageContext, device: str) -> Float[np.ndarray, "I E"]:
    """Return the item vectors of the checkpoint that a stage reads."""
    sids = Sids.load(context.origins["checkpoint"]["sids"])
    decoder, folder = context.spec.decoder, context.inputs["checkpoint"]
    env = context.env(device=device)
    return Recommender.load(folder, context.catalogue, decoder, sids, env).item_vectors()


def _before(context: StageContext, checkpoint: Path | None, kind: str) -> Any:
    """The config that a part has in a checkpoint; that of `none` without one."""
    if checkpoint is not None:
        return getattr(Parts.load(checkpoint, context.catalogue), kind)
    return context.catalogue.config_class(kind, "none").model_validate({"use": "none"})
