"""A table of depths by history length: `Prompt.items` says how many items a prompt shows."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from by_length.config import ByLengthConfig
from lasar_kit.core.values import Env, Prompt


class ByLength:
    """A row of logits for each class of lengths, the same for every history in it."""

    def __init__(self, config: ByLengthConfig, env: Env) -> None:
        self.support: tuple[int, ...] = config.support
        self.bounds = config.lengths
        chosen = torch.tensor([self.support.index(depth) for depth in config.depths])
        table = nn.functional.one_hot(chosen, len(self.support)) * config.margin
        self.keep(table.float().to(env.device))

    def keep(self, table: Float[Tensor, "classes C"]) -> None:
        """Hold the logits."""
        self.table = table

    def logits(self, prompt: Prompt) -> Float[Tensor, "B R C"]:
        """The row of each prompt's class, in float32."""
        return self.table.to(prompt.items.device)[self.classes(prompt.items)].float()

    def classes(self, items: Int[Tensor, "B R"]) -> Int[Tensor, "B R"]:
        """How many of the lengths a history reaches."""
        return torch.bucketize(items, torch.tensor(self.bounds, device=items.device), right=True)


class LearnedByLength(ByLength, nn.Module):
    """The same, its rows weights of the recommender."""

    def __init__(self, config: ByLengthConfig, env: Env) -> None:
        nn.Module.__init__(self)
        super().__init__(config, env)

    def keep(self, table: Float[Tensor, "classes C"]) -> None:
        """Hold the logits, to be trained."""
        self.table = nn.Parameter(table)


def build(config: ByLengthConfig, env: Env) -> ByLength:
    """Build the policy; `learned` says which parts learn."""
    return (LearnedByLength if config.learned else ByLength)(config, env)
