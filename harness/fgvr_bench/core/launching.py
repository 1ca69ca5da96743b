"""Which ranks a run is shared with: those that were launched beside this process, or those that it starts itself."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.checkup_torch import has_gpu_driver
from fgvr_bench.core.interrupts import held_interrupts
from fgvr_bench.core.ranks import Place, RankLost, Ranks, join_launched, launched, open_store
from fgvr_bench.errors import UsageError

if TYPE_CHECKING:
    from fgvr_bench.core.experiment import Asked
    from fgvr_bench.core.settings import RunSettings

HERE = "127.0.0.1"
LAST_SECONDS = 30.0
"""How long processes that were started here may take over the batch at hand once all is to end."""


def ranks_for(models: Sequence[Asked], datasets: Sequence[Asked], settings: RunSettings) -> Ranks | None:
    """Return the way from rank 0, which this process is, to the others; None where it works alone.

    Those that are started here start when they are first needed.

    Raises:
        RankLost: not all that were launched are there.
        UsageError: another process leads.
    """
    if settings.num_processes == "launched":
        place = launched()
        if place is None:
            return None
        if place.rank:
            raise UsageError(
                f"this is rank {place.rank} of {place.count} processes that were launched together; rank 0 leads.",
                hint="Under torchrun or accelerate launch, use the command: fgvr-bench run",
            )
        ranks = join_launched(place)
        ranks.join()  # the others are there: also where there is nothing to do, they have to be told so
        return ranks
    wanted = [settings.num_processes, *(each.own.get("num_processes") for each in models)]
    count = max(number_of(each) for each in wanted)
    return start_here(count, models, datasets, settings) if count > 1 else None


def number_of(wanted: int | str | None) -> int:
    """Return how many processes are asked for: with ``auto`` as many as there are GPUs, without a wish one."""
    if wanted != "auto":
        return wanted if isinstance(wanted, int) else 1
    if not has_gpu_driver():
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def start_here(count: int, *work: Any) -> Ranks:
    """Return the way to processes of this machine that are started when they are first needed.

    Args:
        count: of processes, this one included.
        work: what `assist` takes beside the ranks: models, datasets and settings; picklable.
    """
    children = _Children(count, work)
    return Ranks(Place(0, count, 0, count), children.connect, children.ended, children.end)


class _Children:
    """The processes that this one started."""

    def __init__(self, count: int, work: Sequence[Any]) -> None:
        self._count, self._work = count, work
        self._processes: dict[int, Any] = {}

    def connect(self) -> Any:
        """Start them; return the store that they will come to."""
        store = open_store(HERE, 0, holds=True)
        context = multiprocessing.get_context("spawn")
        way = multiprocessing.get_start_method()
        for rank in range(1, self._count):
            place = Place(rank, self._count, rank, self._count)
            child = context.Process(target=_child, args=(store.port, place, way, *self._work), name=f"rank {rank}")
            self._processes[rank] = child
            with held_interrupts():
                child.start()
        return store

    def ended(self) -> dict[int, int]:
        """Return the exit statuses of those that have ended."""
        return {rank: child.exitcode for rank, child in self._processes.items() if child.exitcode is not None}

    def end(self) -> None:
        """Let them finish what they are at for some seconds, all together, then end them."""
        at_once = sys.exc_info()[0] is KeyboardInterrupt
        deadline = time.monotonic() + (0 if at_once else LAST_SECONDS)
        for child in self._processes.values():
            child.join(timeout=max(0.0, deadline - time.monotonic()))
            if child.is_alive():
                child.kill()
                child.join()


def _child(port: int, place: Place, way: str, *work: Any) -> None:
    """Be one of the ranks, until rank 0 is through, or gone."""
    multiprocessing.set_start_method(way, force=True)  # processes that read images start as they do beside rank 0
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 hears it, and says when to stop
    from fgvr_bench.core.assisting import Assistant
    from fgvr_bench.core.host import host

    def connect() -> Any:
        return open_store(HERE, port, holds=False)

    try:
        Assistant(Ranks(place, connect), host(), *work).serve()
    except RankLost as error:
        if place.rank == 1:  # rank 0 is gone, and cannot say so; one voice is enough
            sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
