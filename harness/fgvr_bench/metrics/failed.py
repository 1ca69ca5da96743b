"""Failed: the share of questions that got no answer at all (an unreadable image, a model's error)."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class Failed:
    """Counts responses with an error."""

    __slots__ = ("_count", "_failed")

    def __init__(self) -> None:
        self._failed = 0
        self._count = 0

    def add(self, scored: Scored) -> None:
        """Take one judged response in."""
        self._count += 1
        if scored.response.error is not None:
            self._failed += 1

    def result(self) -> float | None:
        """Return failures divided by all questions; None where there are none."""
        return self._failed / self._count if self._count else None


METRIC = Metric("failed", "Failed", Failed, higher_is_better=False)
