"""Memory that processes share, and what to do where there is too little: containers often have 64 MB of it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PLACE = "/dev/shm"  # noqa: S108 - where Linux keeps it, not a file of ours
SCARCE = 2 << 30
"""Bytes below which no more of it is taken: a batch has 100 MB or more, and several processes take at a time."""


def free_bytes() -> int | None:
    """Return how much there is; None where the system does not say."""
    try:
        found = os.statvfs(PLACE)
    except (OSError, AttributeError):
        return None
    return found.f_bavail * found.f_frsize


def is_scarce() -> bool:
    """Say whether there is too little of it, or it is all but taken."""
    free = free_bytes()
    return free is not None and free < SCARCE


def room(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return memory for a tensor: in a worker process such that the other side finds it, unless that is scarce."""
    import torch

    if torch.utils.data.get_worker_info() is None or is_scarce():
        return torch.empty(tuple(shape), dtype=dtype)
    return shared(shape, dtype)


def shared(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor of memory that processes share, not written to yet.

    As torch's own collation makes it; what ``share_memory_`` makes shared is written from end to end first.
    """
    import torch

    storage: torch.UntypedStorage = torch.UntypedStorage._new_shared(prod(shape) * dtype.itemsize)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage).view(tuple(shape))


@dataclass(frozen=True, slots=True)
class Packed:
    """Something as bytes, which go from process to process through a pipe: slower, and in need of nothing."""

    data: bytes

    @classmethod
    def of(cls, thing: object) -> Packed:
        """Pack it."""
        return cls(pickle.dumps(thing, pickle.HIGHEST_PROTOCOL))

    def unpack(self) -> Any:
        """Return it."""
        return pickle.loads(self.data)  # noqa: S301 - of a process of this run, never of a file
