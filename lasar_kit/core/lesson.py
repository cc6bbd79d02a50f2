"""Batches of tokens that a model reads and learns from.

Shape letters as in `values.py`, and T rows of a task of its own, W written tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from lasar_kit.core.values import Anchors

Value = TypeVar("Value")


@dataclass(frozen=True)
class TaskRows:
    """Rows of a task of its own: prompt and answer in one chain.

    `ids` are left-padded with -1; the last `answers[t]` tokens of row t are its answer, none in a row that
    fills a gap. `sid` says that answers are semantic IDs.
    """

    ids: Int[Tensor, "T L"]
    answers: Int[Tensor, " T"]
    sid: bool

    def to(self, device: torch.device | str) -> TaskRows:
        """Move to a device."""
        return moved(self, device)


@dataclass(frozen=True)
class Prompts:
    """R prompts a row that share one left-padded chain of tokens.

    Row b's chain is the last `lengths[b]` columns of `ids`; its prompt r ends at column `tips[b, r]`, or,
    where `tail` is not empty, with the tail's tokens on a branch from there. It shows the first `items[b, r]`
    of the items `history[b]`, oldest first and -1 past the end. `mask` marks the prompts that count.
    `whole` says that each row is one prompt, all of its chain, so that a token behind it belongs to it.

    `users[b]` is the user's row in the data set, for what reads who asks
    (`lasar_kit.core.capabilities.ReadsPrompts`): -1 for one unknown, and None where all are.
    """

    ids: Int[Tensor, "B L"]
    lengths: Int[Tensor, " B"]
    tips: Int[Tensor, "B R"]
    mask: Bool[Tensor, "B R"]
    items: Int[Tensor, "B R"]
    tail: Int[Tensor, " Q"]
    history: Int[Tensor, "B H"] | None = None
    users: Int[Tensor, " B"] | None = None
    whole: bool = field(default=False, kw_only=True)

    def to(self, device: torch.device | str) -> Prompts:
        """Move to a device."""
        return moved(self, device)

    def rows(self, which: Sequence[int]) -> Prompts:
        """Take some rows."""
        bare = replace(self, tail=self.ids)  # a row has no part in it
        return replace(mapped(bare, lambda tensor: tensor[list(which)]), tail=self.tail)

    @property
    def shown(self) -> Int[Tensor, "B R H"] | None:
        """The items that each prompt shows, oldest first, -1 past the end."""
        if self.history is None:
            return None
        place = torch.arange(self.history.shape[1], device=self.history.device)
        return torch.where(place < self.items[..., None], self.history[:, None], -1)


@dataclass(frozen=True)
class Lesson:
    """Prompts, and what is to be learnt of each.

    `targets` are the answers, and `inline` says that they stand in the chain itself, right behind their
    prompts. `anchors` are the states of written reasoning, `depth` how long to think (without any, the policy
    chooses) and `label` what the depth policy is to learn, both 0 where there is no reasoning. Where depths
    are `settled`, 0 is one, and the policy chooses none. `rationale`
    are the token ids of written reasoning between prompt and answer, -1 past its end. `rows` are the samples
    of objectives that have their own, by the objective's name. `epoch` counts the epochs of training before
    this one.
    """

    prompts: Prompts
    targets: Int[Tensor, "B R M"]
    inline: bool = False
    anchors: Anchors | None = None
    depth: Int[Tensor, "B R"] | None = None
    label: Int[Tensor, "B R"] | None = None
    rationale: Int[Tensor, "B R W"] | None = None
    rows: Mapping[str, TaskRows] = field(default_factory=dict)
    epoch: int = 0
    settled: bool = False

    def to(self, device: torch.device | str) -> Lesson:
        """Move to a device."""
        return moved(self, device)

    def take(self, which: Sequence[int]) -> Lesson:
        """Take some rows, without those of the objectives' own samples."""
        rest = replace(self, prompts=self.prompts.rows(which), rows={})
        taken = {
            entry.name: mapped(getattr(self, entry.name), lambda tensor: tensor[list(which)])
            for entry in fields(self)
            if entry.name not in ("prompts", "inline", "rows")
        }
        return replace(rest, **taken)

    @property
    def labelled(self) -> Bool[Tensor, "B R"]:
        """Prompts that count and have reasoning."""
        if self.label is None:
            return torch.zeros_like(self.prompts.mask)
        return self.prompts.mask & (self.label > 0)


def moved(value: Value, device: torch.device | str) -> Value:
    """The same on a device; the way to an accelerator is not waited for."""
    away = torch.device(device).type != "cpu"
    return mapped(value, lambda tensor: tensor.to(device, non_blocking=away and tensor.device.type == "cpu"))


def mapped(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """The same with every tensor changed, in dataclasses and mappings too."""
    result: Any = value
    if isinstance(value, Tensor):
        result = change(value)
    elif is_dataclass(value) and not isinstance(value, type):
        names = [entry.name for entry in fields(value)]
        result = replace(value, **{name: mapped(getattr(value, name), change) for name in names})
    elif isinstance(value, Mapping):
        result = {name: mapped(part, change) for name, part in value.items()}
    changed: Value = result
    return changed
