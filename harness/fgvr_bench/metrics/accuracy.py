"""Accuracy: the share of questions answered rightly; an unread answer is a wrong one."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class Accuracy:
    """Counts right answers."""

    __slots__ = ("_correct", "_count")

    def __init__(self) -> None:
        self._correct = 0
        self._count = 0

    def add(self, scored: Scored) -> None:
        """Take one judged response in."""
        self._count += 1
        if scored.answer.correct:
            self._correct += 1

    def result(self) -> float | None:
        """Return right answers divided by all questions; None where there are none."""
        return self._correct / self._count if self._count else None


METRIC = Metric("accuracy", "Accuracy", Accuracy)
