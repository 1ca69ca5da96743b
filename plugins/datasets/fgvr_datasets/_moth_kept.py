"""Pictures that were drawn already, in memory that a process shares with those that it forks.

A command that runs several models reads each picture once a model, every time in other worker processes; so each is
drawn once.  Where processes are not forked, each draws for itself, as it does without this.
"""

from __future__ import annotations

import mmap
import zlib

CHECK = 4
"""Bytes of the checksum behind each picture."""


class Kept:
    """Room for pictures of one size; what is not there, or not whole, is None.

    The memory is taken as it is used, and goes with the last process that has it.
    """

    def __init__(self, count: int, size: int) -> None:
        """Make room for `count` pictures of `size` bytes; before processes are forked, to share it with them."""
        self._size = size
        self._memory = mmap.mmap(-1, count * (size + CHECK))

    def get(self, place: int) -> bytes | None:
        """Return the picture at a place."""
        start = place * (self._size + CHECK)
        data = self._memory[start : start + self._size]
        there = self._memory[start + self._size : start + self._size + CHECK]
        return data if there == _check(data) else None  # zeros that nobody has written to yet do not pass

    def put(self, place: int, data: bytes) -> None:
        """Keep a picture; another process that writes the same one meanwhile does no harm.

        Raises:
            ValueError: it is of another size.
        """
        if len(data) != self._size:
            raise ValueError(f"a picture of {len(data)} bytes, where {self._size} have room")
        start = place * (self._size + CHECK)
        self._memory[start : start + self._size + CHECK] = data + _check(data)


def _check(data: bytes) -> bytes:
    """Return the checksum of a picture: never that of zeros alone."""
    return zlib.crc32(data, 1).to_bytes(CHECK, "little")
