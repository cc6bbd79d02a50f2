"""Options of the quantizers that are trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lasar_kit.core.residual_options import LevelsConfig


class TrainedCodesConfig(LevelsConfig):
    """Options of codebooks that are trained together with an encoder and a decoder."""

    beta: float = Field(
        0.25, ge=0, description="Weight of the commitment: the encoder is drawn to its codewords."
    )
    quantization_weight: float = Field(
        1.0, ge=0, description="Weight of the quantization losses beside the reconstruction's."
    )
    codebooks: Literal["gradient", "ema"] = Field(
        "gradient",
        description="How codewords follow what they stand for: by the loss's gradient, or as moving means.",
    )
    ema_decay: float = Field(0.99, ge=0, lt=1, description="Of the moving means, an update.")
    sinkhorn: float = Field(
        0.003,
        ge=0,
        description="Entropy of the transport that spreads the catalogue evenly over the last level's codes, "
        "in half the range of distances (LC-Rec); 0 takes the nearest codes there too.",
    )
    sinkhorn_iterations: int = Field(50, ge=1, description="Rounds of Sinkhorn's algorithm.")
    epochs: int = Field(500, ge=0, description="Passes over the catalogue.")
    batch_size: int = Field(1024, ge=1, description="Items an update.")
    lr: float = Field(1.0e-3, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(1.0e-4, ge=0, description="Of AdamW, on the networks' matrices.")
    revive_every: int = Field(
        10,
        ge=0,
        description="Epochs after which codes that no item had since are put where codes serve worst, up to "
        "nine tenths of the training; 0 for never.",
    )
    kmeans_iterations: int = Field(
        100,
        ge=1,
        description="Rounds of Lloyd's algorithm a level, at most, for the codewords to begin with.",
    )


class RqVaeConfig(TrainedCodesConfig):
    """Options of `rq_vae`."""

    width: int = Field(32, ge=1, description="Coordinates of the latent vectors that codes stand for.")
    hidden: tuple[int, ...] = Field(
        (512, 256, 128), description="Widths between an item's vector and its latent; the decoder's reversed."
    )


class RqKmeansPlusConfig(TrainedCodesConfig):
    """Options of `rq_kmeans_plus`."""

    hidden: tuple[int, ...] = Field((512,), description="Widths inside both residual maps.")
    sinkhorn: float = Field(
        0.0,
        ge=0,
        description="Entropy of the transport that spreads the catalogue evenly over the last level's codes, "
        "in half the range of distances; 0 takes the nearest codes there too.",
    )
