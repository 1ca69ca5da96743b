"""Out of memory, told apart from other failures: the harness answers it with a smaller batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

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
