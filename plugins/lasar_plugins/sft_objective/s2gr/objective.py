"""The thought before each token told apart from those of other clusters (S2GR, arXiv:2601.18664).

The authors contrast each thinking token with the distribution of the next item over the clusters of its
codebook; of their codebooks (co-occurrence, balanced load) nothing is here. This is built after the abstract,
for the equations were not at hand: a cluster of level m is the mean direction of its items' vectors, and the
term is InfoNCE of the thought, mapped to the space of these vectors, among all clusters of the level.
"""

from __future__ import annotations

import zlib

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lasar_kit.core.lesson import Lesson, TaskRows
from lasar_kit.core.sft_view import SftView
from lasar_kit.core.values import Env
from lasar_plugins.sft_objective.s2gr.clusters import Clusters, means
from lasar_plugins.sft_objective.s2gr.config import S2grConfig


class S2gr(nn.Module):
    """The mean over the tokens of answers of -sum_k q(k) log p(k); 0 for a prompt that did not think.

    p is the softmax over the level's clusters of cos(W h, mu_k) / `temperature`, h the state that predicts
    the token, which is that of the last thought before it; q the next item's cluster, or with `soft` the
    softmax of cos(z, mu_k) / `soft`, z the mean of the vectors of the items with its SID.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, config: S2grConfig, env: Env) -> None:
        super().__init__()
        assert env.build is not None
        assert env.table is not None
        self.config = config
        encoder = env.build("text_encoder", config.source, env)
        vectors = F.normalize(torch.from_numpy(encoder.encode(env.items, env.train)).float(), dim=-1)
        self.clusters = Clusters(env.table, config.clusters, env.device)
        for level, cluster in enumerate(self.clusters.of_items):
            centre = F.normalize(means(vectors, cluster.cpu()), dim=-1)
            self.register_buffer(f"centre_{level}", centre.to(env.device))
        own = means(vectors, env.table.leaves.cpu())
        self.register_buffer("items", F.normalize(own, dim=-1).to(env.device))
        self.items: Tensor
        # Salted: with the bare seed these would be multiples of the first weights that a backbone draws.
        generator = torch.Generator().manual_seed(zlib.crc32(f"s2gr {env.seed}".encode()))
        drawn = torch.randn(vectors.shape[1], env.hidden_size, generator=generator)
        self.map = nn.Parameter(env.hidden_size**-0.5 * drawn)

    def count(self, lesson: Lesson, rows: TaskRows | None) -> int:
        """Answer tokens of the prompts that count."""
        return int(lesson.prompts.mask.sum()) * lesson.targets.shape[-1]

    def loss(self, view: SftView) -> Float[Tensor, ""]:
        """The sum over them."""
        held = view.lesson.prompts.mask & view.trace.mask.any(-1)
        states, targets = view.answers[held], view.lesson.targets[held]
        terms = [
            self.told_apart(states[:, level], cluster, self.clusters.leaf(targets), level)
            for level, cluster in enumerate(self.clusters.of(targets))
        ]
        return torch.stack(terms).sum()

    def told_apart(
        self, h: Float[Tensor, "n D"], cluster: Int[Tensor, " n"], leaf: Int[Tensor, " n"], level: int
    ) -> Float[Tensor, ""]:
        """The sum over thoughts before tokens of a level."""
        centre: Tensor = self.get_buffer(f"centre_{level}")
        mapped = F.normalize(h.to(self.map.dtype) @ self.map.T, dim=-1)
        logp = (mapped @ centre.T / self.config.temperature).float().log_softmax(-1)
        if not self.config.soft:
            return -logp.gather(-1, cluster[:, None]).sum()
        target = (self.items[leaf] @ centre.T / self.config.soft).softmax(-1)
        return -(target * logp).sum()
