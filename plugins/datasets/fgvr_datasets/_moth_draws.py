"""Random whole numbers that follow from words: SHAKE-128 (FIPS 202), the same on every platform."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

VERSION = 1
"""Part of every seed: a change of the drawing raises it, so that an old picture never passes for a new one."""

T = TypeVar("T")


def seeded_bytes(length: int, *words: str) -> bytes:
    """Return `length` bytes that follow from `words`.

    >>> seeded_bytes(4, "bark").hex()
    '543dabe0'
    """
    return hashlib.shake_128("\x1f".join(("moth-24", str(VERSION), *words)).encode()).digest(length)


class Draws:
    """A row of random numbers that follows from words."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self._bytes = seeded_bytes(512, *words)
        self._used = 0

    def below(self, bound: int) -> int:
        """Return a number from 0 to ``bound - 1``, evenly (to within ``bound`` · 2⁻³²)."""
        start, self._used = self._used, self._used + 4
        if self._used > len(self._bytes):
            self._bytes = seeded_bytes(2 * len(self._bytes), *self._words)
        return int.from_bytes(self._bytes[start : self._used], "little") * bound >> 32

    def between(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, things: Sequence[T]) -> T:
        """Return one of `things`."""
        return things[self.below(len(things))]

    def chance(self, percent: int) -> bool:
        """Return True in `percent` of 100 cases."""
        return self.below(100) < percent

    def noise(self, length: int) -> bytes:
        """Return `length` bytes that follow from the same words and are independent of the numbers."""
        return seeded_bytes(length, *self._words, "noise")
