"""Sequences whose elements are made when they are asked for, so that millions of them take no memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T_co = TypeVar("T_co", covariant=True)


class Made(Sequence[T_co]):
    """A subclass says how many there are and makes one; equal to any sequence of equal elements."""

    @abstractmethod
    def made(self, index: int) -> T_co:
        """Make the element at a place from 0."""

    @overload
    def __getitem__(self, index: int) -> T_co: ...

    @overload
    def __getitem__(self, index: slice) -> list[T_co]: ...

    def __getitem__(self, index: int | slice) -> T_co | list[T_co]:
        places = range(len(self))[index]
        return self.made(places) if isinstance(places, int) else [self.made(place) for place in places]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as of a list
