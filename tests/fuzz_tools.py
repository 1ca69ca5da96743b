"""What fuzzers share: how many inputs, how long one may take, and how a whole file is spoilt."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INPUTS = int(os.environ.get("FGVR_TEST_INPUTS", "1500"))
"""Inputs of all fuzzers together; ``FGVR_TEST_INPUTS=100000`` is the long form."""
PATIENCE = 20
"""Seconds after which an input counts as one that hangs; usual are milliseconds."""
TOKENS = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"../../../etc/passwd",
    b"/etc/passwd",
    b"..",
    b".",
    b"/",
    b"\\",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"null",
    b"NaN",
    b"Infinity",
    b"-1",
    b"0",
    b"1e999",
    b"99999999999999999999",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b'"',
    b",",
    b" ",
    b"\t",
    b"[" * 3000,
    b"\x1b[2J",
    b"<script>",
    b"=1+1",
    b"1 1",
    b"2147483648",
]

Spoil = tuple[int, int, int, bytes]

spoils: st.SearchStrategy[list[Spoil]] = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 1 << 16),
        st.integers(0, 64),
        st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)),
    ),
    min_size=1,
    max_size=4,
)


def spoilt(data: bytes, steps: list[Spoil]) -> bytes:
    """Return the bytes after some changes: cut, deleted, overwritten, inserted, doubled, swapped."""
    for kind, where, length, token in steps:
        at = where % (len(data) + 1)
        piece = data[at : at + length]
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data = data[:at] + data[at + length :]
        elif kind == 2:
            data = data[:at] + token + data[at + len(token) :]
        elif kind == 3:
            data = data[:at] + token + data[at:]
        elif kind == 4:
            data = data[:at] + piece + data[at:]
        else:
            data = data[at:] + data[:at]
    return data


def inputs(share: float, **strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a test take its share of all inputs; the short form takes the same ones every time."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        limited = settings(
            max_examples=max(10, round(INPUTS * share)),
            deadline=None,
            database=None,
            derandomize=INPUTS < 10_000,
            suppress_health_check=list(HealthCheck),
        )
        return limited(given(**strategies)(test))

    return decorate


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Fail where the block takes longer than `PATIENCE`."""

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"took longer than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
