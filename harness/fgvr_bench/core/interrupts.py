"""Ctrl-C: once, the batch at hand is finished and saved; twice, all ends at once.  Helping processes never see it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

ECHO = 2.0
"""Seconds within which torchrun hands a Ctrl-C on that its processes have heard already."""


@contextlib.contextmanager
def first_interrupt(told: Callable[[], None], echo: float = 0.0) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether an interrupt was asked for; the second one raises KeyboardInterrupt.

    Outside the main thread, where signals cannot be caught, the function always says no.

    Args:
        told: called once, at the first.
        echo: seconds after the first in which another is none: a launcher hands on what the terminal sent already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked is not None:
            if time.monotonic() - asked < echo:
                return
            raise KeyboardInterrupt
        asked = time.monotonic()
        told()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: asked is not None
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def held_interrupts() -> Iterator[None]:
    """Keep Ctrl-C waiting while helping processes are started, which inherit that and so never die of it.

    A terminal sends it to all of them; what is to be done about it is this process's affair alone.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_request(error: BaseException) -> bool:
    """Say whether an exception ends the process at a user's request; all else that plugins raise is their failure.

    A ``SystemExit``, or an exception of their own below ``KeyboardInterrupt``, ends no run of hours.
    """
    return type(error) in {KeyboardInterrupt, GeneratorExit}
