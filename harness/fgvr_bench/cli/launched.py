"""Commands in several processes: those they start themselves, or torchrun and accelerate, which call them in each."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

import click

from fgvr_bench.core.experiment import Asked
from fgvr_bench.core.host import host
from fgvr_bench.core.ranks import join_launched, launched
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.errors import UsageError


class AutoOrNumber(click.ParamType[int | str | None]):
    """``auto`` or a number above 0."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str | None:
        if value is None or value == "auto":
            return None if value is None else "auto"
        if str(value).isdecimal() and int(value) > 0:
            return int(value)
        return self.fail(f"{value!r} is neither 'auto' nor a number above 0", param, ctx)


def as_launched(num_processes: int | str | None) -> int | str | None:
    """Return ``launched`` in one of several processes that were launched together, and otherwise what was asked for.

    Raises:
        UsageError: processes are asked for where there are some already.
    """
    if launched() is None:
        return num_processes
    if num_processes is not None:
        raise UsageError(
            f"--num-processes {num_processes} starts processes, and this is one of several already.",
            hint="Leave it out, or type the command without torchrun or accelerate launch.",
        )
    return "launched"


def assists_launched(models: Sequence[Asked], datasets: Sequence[Asked], settings: RunSettings) -> bool:
    """Carry out what rank 0 says until it is through, and return True, in all launched processes but rank 0."""
    place = launched()
    if place is None or place.rank == 0:
        return False
    from fgvr_bench.core.assisting import Assistant
    from fgvr_bench.core.evaluate import expand_datasets

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 hears it too, and says when to stop
    Assistant(join_launched(place), host(), models, expand_datasets(host(), datasets), settings).serve()
    return True
