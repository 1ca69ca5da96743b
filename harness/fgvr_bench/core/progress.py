"""How long work says how far it is, without knowing who listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""``with progress(description, total) as advance: ... advance(n)``; `fgvr_bench.cli.output.progress` draws a bar."""


@contextlib.contextmanager
def quiet(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Tell nobody."""
    yield lambda n: None
