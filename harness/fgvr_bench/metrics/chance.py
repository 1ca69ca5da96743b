"""Chance: the accuracy to expect of guessing, one divided by the number of choices, over all questions."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class Chance:
    """Adds up the odds of a guess."""

    __slots__ = ("_count", "_odds")

    def __init__(self) -> None:
        self._odds = 0.0
        self._count = 0

    def add(self, scored: Scored) -> None:
        """Take one judged response in; a question without choices does not count."""
        choices = len(scored.question.choices)
        if choices:
            self._count += 1
            self._odds += 1 / choices

    def result(self) -> float | None:
        """Return the mean; None where no question has choices."""
        return self._odds / self._count if self._count else None


METRIC = Metric("chance", "Chance", Chance)
