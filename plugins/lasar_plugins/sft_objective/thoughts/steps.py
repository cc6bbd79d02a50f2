"""The steps of a prompt: its last state, if so asked, and its thoughts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lasar_kit.core.sft_view import SftView


@dataclass(frozen=True)
class Steps:
    """S steps a prompt, those of each where `held`; `left` counts those that come after one."""

    states: Float[Tensor, "B R S D"]
    held: Bool[Tensor, "B R S"]
    left: Int[Tensor, "B R S"]

    @classmethod
    def of(cls, view: SftView, start: bool) -> Steps:
        """Those of the prompts that count; `start` puts the prompt's last state before the thoughts."""
        trace, counted = view.trace, view.lesson.prompts.mask[..., None]
        states, held = trace.states, trace.mask
        if start:
            states = torch.cat([view.prompt.h0[:, :, None], states], dim=2)
            held = torch.cat([torch.ones_like(counted), held], dim=2)
        number = held.sum(-1, keepdim=True) - 1
        left = number - torch.arange(held.shape[-1], device=held.device)
        return cls(states, held & counted, left)


def cross_entropy(
    view: SftView, steps: Steps, held: Bool[Tensor, "B R S"], temperature: Float[Tensor, "B R S"]
) -> Float[Tensor, " n"]:
    """Of the answer's first token (of an item of one token, the item), at each step that is held."""
    first = view.lesson.targets[..., None, :1].expand(*held.shape, 1)
    return -view.token_logp(steps.states[held][:, None], first[held], temperature[held])[:, 0]


def summed(
    values: Float[Tensor, " n"], held: Bool[Tensor, "*S"], over: str, among: int = -1
) -> Float[Tensor, ""]:
    """Over prompts the sum of the mean (or the sum) over those steps that are held, which lie at `among`."""
    if over == "mean":
        number = held.sum(among, keepdim=True).expand_as(held)
        values = values / number[held].to(values.dtype)
    return values.sum()
