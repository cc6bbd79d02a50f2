"""RQ-VAE (TIGER, Rajput et al. 2023; LC-Rec, Zheng et al. 2024) and its start from residual k-means."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lasar_kit.core.clusters import fingerprint, nearest
from lasar_kit.core.values import Env
from lasar_plugins.quantizer.rq_vae.config import RqKmeansPlusConfig, RqVaeConfig, TrainedCodesConfig
from lasar_plugins.quantizer.rq_vae.levels import distances, quantize
from lasar_plugins.quantizer.rq_vae.network import Autoencoder
from lasar_plugins.quantizer.rq_vae.sinkhorn import seated, transport
from lasar_plugins.quantizer.rq_vae.training import Trainer

_CHUNK = 16_384
"""Items that the networks read at once."""

LATENT_LAWS = {
    "error_does_not_grow_by_level": "the decoder has learnt whole SIDs, and no beginnings of any",
    "each_level_brings_items_nearer": "what is left over is measured in latents, not in items",
}
"""Laws of quantizers that hold of latents alone."""


class TrainedCodes:
    """Codebooks trained with an encoder and a decoder; `decode` is the decoder's.

    With `sinkhorn` the last level's codes are spread evenly over the catalogue that was fitted: `encode` of
    exactly these items gives such codes, any other input its nearest codewords.
    """

    def __init__(self, config: TrainedCodesConfig, env: Env) -> None:
        self.config, self.seed, self.device, self.report = config, env.seed, env.device, env.report
        self.sizes = config.sizes
        self.network: Autoencoder | None = None
        self.fitted_codes: Int[Tensor, "I M"] = torch.zeros(0, len(self.sizes), dtype=torch.int64)
        self.fitted_digest: Int[Tensor, " 32"] = torch.zeros(32, dtype=torch.uint8)
        self.remarks: dict[str, Any] = {}
        self.contract_exceptions = dict(LATENT_LAWS)
        if config.sinkhorn:
            even = "the last level is even among all items that were fitted"
            self.contract_exceptions["items_are_encoded_by_themselves"] = even

    def _made(self, items: int) -> Autoencoder:
        """Networks for vectors so wide."""
        raise NotImplementedError

    def fit(self, items: Float[Tensor, "I E"]) -> None:
        """Train on the catalogue; `UserError` where that fails."""
        rows = items.detach().float().to(self.device)
        network = self._made(items.shape[1]).to(self.device)
        network.scale.fill_(rows.square().mean().sqrt() if rows.any() else 1.0)
        progress = Trainer(network, rows, self.config, self.seed).run(self.report)
        self.network = network.requires_grad_(False)
        self.remarks = {"training_losses": progress.losses, "codes_revived": progress.revived}
        if self.config.sinkhorn:
            self.fitted_codes = self._codes(rows, even=True).cpu()
            self.fitted_digest = fingerprint(items)

    def encode(self, items: Float[Tensor, "I E"]) -> Int[Tensor, "I M"]:
        """The nearest codeword of each level's residual; the codes of the catalogue that was fitted."""
        if len(items) == len(self.fitted_codes) and torch.equal(fingerprint(items), self.fitted_digest):
            return self.fitted_codes.to(items.device)
        return self._codes(items.detach().float().to(self.device), even=False).to(items.device)

    @torch.no_grad()
    def _codes(self, rows: Float[Tensor, "I E"], even: bool) -> Int[Tensor, "I M"]:
        network = self._fitted
        latents = torch.cat([network.latents(part) for part in torch.split(rows, _CHUNK)])

        def choose(rest: Tensor, codebook: Tensor, last: bool) -> Tensor:
            if last and even:
                gaps = distances(rest.double(), codebook.double())
                return seated(transport(gaps, self.config.sinkhorn, self.config.sinkhorn_iterations))
            return nearest(rest, codebook)

        return quantize(latents, list(network.codebooks), choose).codes

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "I m"]) -> Float[Tensor, "I E"]:
        """What the decoder makes of the sum of the first m levels' codewords."""
        network = self._fitted
        parts = []
        for part in torch.split(codes.to(self.device), _CHUNK):
            words = [network.codebooks[level][part[:, level]] for level in range(codes.shape[1])]
            parts.append(network.items(torch.stack(words).sum(dim=0)))
        return torch.cat(parts).to(codes.device)

    @property
    def _fitted(self) -> Autoencoder:
        assert self.network is not None, "fit or load_state_dict comes first"
        return self.network

    def state_dict(self) -> dict[str, Tensor]:
        """Networks, codebooks, and the codes of the catalogue that was fitted."""
        state = {} if self.network is None else dict(self.network.state_dict())
        return state | {"fitted_codes": self.fitted_codes, "fitted_digest": self.fitted_digest}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a fitted quantizer of the same options."""
        own = ("fitted_codes", "fitted_digest")
        weights = {name: value for name, value in state.items() if name not in own}
        network = self._made(weights["encoder.weights.0"].shape[1])
        network.load_state_dict(weights)
        self.network = network.requires_grad_(False).to(self.device)
        self.fitted_codes, self.fitted_digest = (state[name] for name in own)


class RqVae(TrainedCodes):
    """Codes of latents that an encoder makes of items, and a decoder turns back."""

    config: RqVaeConfig

    def _made(self, items: int) -> Autoencoder:
        return Autoencoder(items, self.config.width, self.config.hidden, self.sizes, self.seed)


class RqKmeansPlus(TrainedCodes):
    """Residual k-means, trained on: both networks add to the vectors themselves, nothing at first, so that
    training begins at the codes of k-means (GPR's RQ-KMeans+; MiniOneRec)."""

    config: RqKmeansPlusConfig

    def __init__(self, config: RqKmeansPlusConfig, env: Env) -> None:
        super().__init__(config, env)
        if not config.epochs:  # residual k-means, and nothing else
            for law in LATENT_LAWS:
                del self.contract_exceptions[law]

    def _made(self, items: int) -> Autoencoder:
        return Autoencoder(items, None, self.config.hidden, self.sizes, self.seed)
