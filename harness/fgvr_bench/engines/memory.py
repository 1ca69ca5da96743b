"""Out of memory, told apart from other failures: the harness answers it with a smaller batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from fgvr_bench.errors import OutOfMemory


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, without its full stop; its class where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception means that a device, or the machine, ran out of memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def fitting(run: Callable[[int], object], most: int, share: float = 0.9) -> int:
    """Return how many of something a CUDA device has room for: a power of two, at most `most`.

    Runs 2 and 4 of it; what 2 more take is what the rest will take.

    Args:
        run: runs so many.
        most: more bring nothing.
        share: of the memory that is free or held by torch, which may be used.

    Raises:
        OutOfMemory: 2 do not fit.
    """
    import torch

    def peak(count: int) -> int:
        torch.cuda.reset_peak_memory_stats()
        run(count)
        return int(torch.cuda.max_memory_allocated())

    peak(2)  # the first time, libraries take memory for themselves
    few, more = peak(2), peak(4)
    each = max(1, (more - few) // 2)
    room = share * (torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved())
    return power_of_two(min(most, int((room - (few - 2 * each)) // each)))


def power_of_two(most: int) -> int:
    """Return the largest power of two up to `most`, at least 1.

    >>> [power_of_two(most) for most in (0, 1, 63, 64)]
    [1, 1, 32, 64]
    """
    return 1 << max(0, most.bit_length() - 1) if most > 0 else 1


@contextlib.contextmanager
def memory_guard() -> Iterator[None]:
    """Raise `OutOfMemory` in place of a device's own error, and let go of what the failed batch held.

    Raises:
        OutOfMemory: the block ran out of memory.
    """
    message = None
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = first_line(error)
    if message is not None:
        # Raised outside the handler: the traceback of the first error would keep the batch's tensors alive.
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(f"not enough memory: {message}.", hint="Give a smaller --batch-size.")
