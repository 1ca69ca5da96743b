"""Unparsed: the share of questions that a model answered, but with no single choice."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class Unparsed:
    """Counts answers without a choice; failures are counted by `failed`."""

    __slots__ = ("_count", "_unparsed")

    def __init__(self) -> None:
        self._unparsed = 0
        self._count = 0

    def add(self, scored: Scored) -> None:
        """Take one judged response in."""
        self._count += 1
        if scored.answer.choice is None and scored.response.error is None:
            self._unparsed += 1

    def result(self) -> float | None:
        """Return such answers divided by all questions; None where there are none."""
        return self._unparsed / self._count if self._count else None


METRIC = Metric("unparsed", "Unparsed answers", Unparsed, higher_is_better=False)
