"""Hierarchical precision of open answers: the mean credit (see `protocols.openended`)."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class HierarchicalPrecision:
    """Adds up credit."""

    __slots__ = ("_count", "_credit")

    def __init__(self) -> None:
        self._credit = 0.0
        self._count = 0

    def add(self, scored: Scored) -> None:
        """Take one judged response in; without ranks there is no credit to count."""
        credit = scored.answer.credit
        if credit is not None:
            self._count += 1
            self._credit += credit

    def result(self) -> float | None:
        """Return the mean; None where the dataset knows no ranks."""
        return self._credit / self._count if self._count else None


METRIC = Metric("hierarchical-precision", "Hierarchical precision", HierarchicalPrecision)
