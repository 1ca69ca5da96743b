"""Reading ahead: worker processes make batches in order while the device is busy with the one before."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from fgvr_bench.core.interrupts import held_interrupts
from fgvr_bench.core.shared_memory import Packed, is_scarce
from fgvr_bench.errors import FgvrError

T_co = TypeVar("T_co", covariant=True)


class Batches(Protocol[T_co]):
    """Batches by number; picklable, and each the same whenever and wherever it is made."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> T_co: ...


class Claimed(Protocol):
    """Numbers of batches that this process gets, as it gets on; None where it has enough in hand for now."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int | None]: ...
    def take_up(self) -> None:
        """Say that work on a number begins."""


def as_claimed(batches: Batches[T_co], claims: Claimed | None) -> Iterator[T_co]:
    """Yield the batches in order, or with `claims` those that this process gets, each made when it is asked for."""
    for number in range(len(batches)) if claims is None else claims:
        if number is not None:
            if claims is not None:
                claims.take_up()
            yield batches[number]


@dataclass(frozen=True, slots=True)
class _Ordered(Generic[T_co]):
    """What workers make: batches, and None for no number, which stands where a process has claimed enough for now."""

    batches: Batches[T_co]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int | None) -> T_co | Packed | None:
        if number is None:
            return None
        batch = self.batches[number]
        return Packed.of(batch) if is_scarce() else batch


def read_ahead(
    batches: Batches[T_co], workers: int, pin_memory: bool, claims: Claimed | None = None, ahead: int = 2
) -> Iterator[T_co]:
    """Yield the batches in order, made by `workers` processes (0: here, when asked for), each at most `ahead` ahead.

    With `claims`, those of them that this process gets, in the order in which it gets them.

    Raises:
        FgvrError: a worker process was killed from outside.
    """
    if workers == 0 or len(batches) == 0:
        yield from as_claimed(batches, claims)
        return
    import torch
    from torch.utils.data import DataLoader

    loader: DataLoader[T_co | Packed | None] = DataLoader(
        _Ordered(batches),  # type: ignore[arg-type]  # a map-style source by protocol, without torch in its bases
        batch_size=None,
        sampler=claims,
        num_workers=min(workers, len(batches)),
        prefetch_factor=ahead,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # its own: nothing that others draw may depend on the loader
    )
    with held_interrupts():
        made = iter(loader)
    try:
        for batch in made:
            if batch is not None:
                if claims is not None:
                    claims.take_up()
                yield _unpacked(batch, pin_memory) if isinstance(batch, Packed) else batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise FgvrError(
            "a process that reads images ahead was killed, most often for want of memory.",
            hint="Type the same command again with --workers 1: it goes on with what is on disk.",
        ) from error


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _unpacked(packed: Packed, pin_memory: bool) -> Any:
    batch = packed.unpack()
    return batch.pin_memory() if pin_memory and hasattr(batch, "pin_memory") else batch


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent finishes the batch and saves
    keep_freed_memory()


_MALLOC = {-1: 512 << 20, -3: 32 << 20}
"""GNU libc's ``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD``: what is given back to the system only above these."""


def keep_freed_memory() -> None:
    """Let the C library hold on to what is freed: pages that every batch asks for anew cost as much as decoding."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # another libc has none
        for setting, size in _MALLOC.items():
            mallopt(setting, size)
