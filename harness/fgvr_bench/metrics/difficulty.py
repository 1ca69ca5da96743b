"""Accuracy by difficulty: where the miner's own model ranks the truth first, and where it does not."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench.interfaces import Metric, Scored


class AccuracyAtRanks:
    """Counts right answers among the questions whose truth has a rank in a range."""

    __slots__ = ("_correct", "_count", "_first", "_last")

    def __init__(self, first: int, last: int | None) -> None:
        self._first = first
        self._last = last
        self._correct = 0
        self._count = 0

    def add(self, scored: Scored) -> None:
        """Take one judged response in; a question whose truth has no rank does not count."""
        rank = scored.question.truth_rank
        if rank is not None and self._first <= rank and (self._last is None or rank <= self._last):
            self._count += 1
            self._correct += scored.answer.correct

    def result(self) -> float | None:
        """Return the share; None where there are no such questions."""
        return self._correct / self._count if self._count else None


def _starting(first: int, last: int | None) -> Callable[[], AccuracyAtRanks]:
    return lambda: AccuracyAtRanks(first, last)


EASY = Metric("accuracy-easy", "Accuracy where the miner ranks the truth first", _starting(1, 1))
HARD = Metric("accuracy-hard", "Accuracy where the miner does not", _starting(2, None))
