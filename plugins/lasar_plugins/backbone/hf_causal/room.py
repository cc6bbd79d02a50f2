"""Keys and values that grow in place behind contexts that never change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

KeysValues = tuple[Float[Tensor, "B heads P d"], Float[Tensor, "B heads P d"]]

SPARE = 192
"""Least number of tokens to leave room for: a few thoughts and the levels of a beam search."""

EVEN = 16
"""Where so many tokens ask, a CPU's attention reads keys in multiples of this faster than the few it is asked
for: 3 % of a beam search."""


@dataclass
class Room:
    """Memory for more tokens than it holds: `data[layer]` are a layer's keys and values.

    It holds `used` tokens, and a context is the first so many of them. New ones are only ever written behind
    `used`, so no context that was given away changes; a second continuation of the same context gets a room
    of its own.
    """

    data: Float[Tensor, "layers 2 B heads room d"]
    used: int

    @classmethod
    def for_more(cls, room: Room | None, layers: tuple[KeysValues, ...], new: int) -> Room:
        """A room with place for `new` tokens behind those of `layers`.

        It is `room`, where they stand, if that will do; else a copy, with place for some more.
        """
        keys, _ = layers[0]
        rows, heads, length, width = keys.shape
        if room is not None and room._has(length, new):
            return room
        size = length + new + max((length + new) // 2, SPARE)
        data = keys.new_empty(len(layers), 2, rows, heads, size, width)
        for place, (keys, values) in zip(data, layers, strict=True):
            place[0, :, :, :length] = keys
            place[1, :, :, :length] = values
        return cls(data, length)

    def _has(self, length: int, new: int) -> bool:
        # A tensor made in inference mode may be written in no other.
        writable = not self.data.is_inference() or torch.is_inference_mode_enabled()
        return writable and self.used == length and length + new <= self.data.shape[-2]

    def take(self, new: int) -> tuple[Float[Tensor, "layers 2 B heads Q d"], tuple[KeysValues, ...]]:
        """The places of `new` tokens, to be filled, and each layer's keys and values up to and with them."""
        fresh = self.data.narrow(-2, self.used, new)
        self.used += new
        views = self.data.narrow(-2, 0, self.used)
        return fresh, tuple((layer[0], layer[1]) for layer in views)

    def even(
        self, mask: Float[Tensor, "B 1 Q nodes"], layers: tuple[KeysValues, ...]
    ) -> tuple[Float[Tensor, "B 1 Q wide"], tuple[KeysValues, ...]]:
        """What `take` gave and its mask, with places behind that nobody sees up to a multiple of `EVEN`.

        As they are on other devices, for few tokens, and where the room ends before.
        """
        more, few = -self.used % EVEN, mask.shape[2] < EVEN
        if few or mask.device.type != "cpu" or not more or self.used + more > self.data.shape[-2]:
            return mask, layers
        self.data.narrow(-2, self.used, more).zero_()  # whatever stood there: a weight of 0 times NaN is NaN
        views = self.data.narrow(-2, 0, self.used + more)
        unseen = pad(mask, (0, more), value=torch.finfo(mask.dtype).min)
        return unseen, tuple((layer[0], layer[1]) for layer in views)
