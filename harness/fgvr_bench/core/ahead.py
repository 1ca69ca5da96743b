"""Reading ahead: worker processes make batches in order while the device is busy with the one before."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Protocol, TypeVar

from fgvr_bench.core.interrupts import held_interrupts
from fgvr_bench.errors import FgvrError

T_co = TypeVar("T_co", covariant=True)


class Batches(Protocol[T_co]):
    """Batches by number; picklable, and each the same whenever and wherever it is made."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> T_co: ...


def read_ahead(batches: Batches[T_co], workers: int, pin_memory: bool) -> Iterator[T_co]:
    """Yield the batches in order, made by `workers` processes (0: here, when asked for).

    Raises:
        FgvrError: a worker process was killed from outside.
    """
    if workers == 0 or len(batches) == 0:
        for number in range(len(batches)):
            yield batches[number]
        return
    from torch.utils.data import DataLoader

    loader: DataLoader[T_co] = DataLoader(
        batches,  # type: ignore[arg-type]  # a map-style source by protocol, without torch in its bases
        batch_size=None,
        num_workers=min(workers, len(batches)),
        prefetch_factor=2,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
    )
    with held_interrupts():
        ahead = iter(loader)
    try:
        yield from ahead
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


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent finishes the batch and saves
