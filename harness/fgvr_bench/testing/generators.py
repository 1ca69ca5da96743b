"""The generators that belong to the whole process, which no plugin may draw from or reseed."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def poisoned(seed: int) -> Iterator[None]:
    """Seed every global generator with something of our own for the block, and put them back after it.

    What draws from them answers otherwise under another seed.
    """
    before = _states()
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
    try:
        yield
    finally:
        _restore(before)


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Yield a list that names, after the block, each global generator that the block has moved."""
    before = _states()
    moved: list[str] = []
    yield moved
    after = _states()
    moved += [name for name, state in before.items() if not _same(state, after[name])]


def _states() -> dict[str, Any]:
    states: dict[str, Any] = {"random": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        states["numpy.random"] = numpy.random.get_state()
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state()
    return states


def _restore(states: dict[str, Any]) -> None:
    random.setstate(states["random"])
    if "numpy.random" in states:
        sys.modules["numpy"].random.set_state(states["numpy.random"])
    if "torch" in states:
        sys.modules["torch"].set_rng_state(states["torch"])


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool((one == other).all()) if hasattr(one, "shape") else bool(one == other)
