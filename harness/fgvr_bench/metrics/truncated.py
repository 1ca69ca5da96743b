"""Truncated: the share of answers that the token limit cut off."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored
from fgvr_bench.types import Stop


class Truncated:
    """Counts answers that ended at the limit."""

    __slots__ = ("_count", "_truncated")

    def __init__(self) -> None:
        self._truncated = 0
        self._count = 0

    def add(self, scored: Scored) -> None:
        """Take one judged response in; one that does not say why it ended does not count."""
        stop = scored.response.stop
        if stop is not None:
            self._count += 1
            self._truncated += stop is Stop.LENGTH

    def result(self) -> float | None:
        """Return the share; None where no answer says why it ended."""
        return self._truncated / self._count if self._count else None


METRIC = Metric("truncated", "Cut off at the token limit", Truncated, higher_is_better=False)
