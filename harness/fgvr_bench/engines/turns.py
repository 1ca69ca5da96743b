"""Turns: threads give work to one device in turn, and while one waits for its results the next gives it more."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Turns:
    """A lock that is let go of while its holder waits.

    A thread holds it (``with turns:``) while it gives work to the device, so that what it changes on the way is seen
    by nobody else, and steps back (``with turns.waiting():``) where it has to wait for the device.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let others have their turn while the block runs."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()


class Streams:
    """CUDA streams, one for each piece of work that is under way: to wait for one is not to wait for the others."""

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[torch.cuda.Stream] = queue.SimpleQueue()

    @contextlib.contextmanager
    def one(self, device: torch.device) -> Iterator[None]:
        """Give all work of the block on a CUDA device to a stream of its own."""
        import torch

        try:
            stream = self._free.get_nowait()
        except queue.Empty:
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.default_stream(device))  # on which the weights came
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            self._free.put(stream)
