"""MATLAB files, read in a process of its own: a damaged one makes SciPy's reader crash, or ask for all memory.

The process is started with the first file and kept; it ends with this one, for then its input does.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from typing import IO, Any

from fgvr_bench.core.interrupts import held_interrupts

MEMORY = 4 << 30
"""Bytes that the process may have; the published files take a hundredth of it."""
SECONDS = 120.0
"""A file that takes longer is refused."""

READ = f"""
import contextlib, io, pickle, signal, sys, warnings
signal.signal(signal.SIGINT, signal.SIG_IGN)
with contextlib.suppress(ImportError, ValueError, OSError):
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from scipy.io import loadmat
warnings.simplefilter("ignore")
answers, sys.stdout = sys.stdout.buffer, sys.stderr
while size := sys.stdin.buffer.read(8):
    data = sys.stdin.buffer.read(int.from_bytes(size, "little"))
    try:
        # All of it, whatever is asked for: a cut in any variable is a damaged file.
        found = loadmat(io.BytesIO(data), squeeze_me=True)
        answer = pickle.dumps((True, {{name: value for name, value in found.items() if name[:2] != "__"}}))
    except BaseException as error:
        answer = pickle.dumps((False, " ".join(str(error).split())[:300] or type(error).__name__))
    answers.write(len(answer).to_bytes(8, "little") + answer)
    answers.flush()
"""


class MatInvalid(Exception):
    """The bytes are no MATLAB file that can be read; the message says why, in one line."""


class _Reader:
    """The process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        command = [sys.executable, "-c", READ]
        with held_interrupts():
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null)  # noqa: S603 - it is above

    def ask(self, data: bytes) -> tuple[bool, Any]:
        """Return whether the file was read, and its variables or why not.

        Raises:
            OSError, EOFError: the process died of it.
        """
        into, out = self.process.stdin, self.process.stdout
        assert into is not None  # noqa: S101 - both are pipes
        assert out is not None  # noqa: S101
        alarm = threading.Timer(SECONDS, self.process.kill)
        alarm.start()
        try:
            into.write(len(data).to_bytes(8, "little") + data)
            into.flush()
            size = int.from_bytes(_exactly(out, 8), "little")
            answer: tuple[bool, Any] = pickle.loads(_exactly(out, size))  # noqa: S301 - made by the process above
            return answer
        finally:
            alarm.cancel()

    def end(self) -> None:
        """Let go of the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


_lock = threading.Lock()
_reader: _Reader | None = None


def load_mat(data: bytes) -> dict[str, Any]:
    """Return the variables of a MATLAB file (version 7 or older), squeezed.

    Raises:
        MatInvalid: truncated, damaged, of another kind, or of a size that cannot be.
    """
    global _reader
    with _lock:
        if _reader is None or _reader.owner != os.getpid():  # a forked child has a pipe that is its parent's
            _reader = _Reader()
        try:
            good, found = _reader.ask(data)
        except (OSError, EOFError) as error:
            _reader.end()
            _reader = None
            raise MatInvalid("reading it crashes") from error
    if not good:
        raise MatInvalid(found)
    variables: dict[str, Any] = found
    return variables


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise EOFError("the process ended")
    return data
