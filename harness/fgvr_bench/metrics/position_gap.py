"""Position gap: accuracy where the truth stands in its best place, minus that in its worst."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class PositionGap:
    """Counts right answers for each place of the truth."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}

    def add(self, scored: Scored) -> None:
        """Take one judged response in."""
        target = scored.question.target
        if target is not None:
            counts = self._counts.get(target)
            if counts is None:
                counts = self._counts[target] = [0, 0]
            counts[scored.answer.correct] += 1

    def by_position(self) -> dict[int, float]:
        """Return the accuracy for each place of the truth, from 0."""
        return {place: counts[1] / sum(counts) for place, counts in sorted(self._counts.items())}

    def result(self) -> float | None:
        """Return the largest difference between two places; None where the truth stood in one place only."""
        shares = self.by_position().values()
        return max(shares) - min(shares) if len(shares) > 1 else None


METRIC = Metric("position-gap", "Gap between positions", PositionGap, higher_is_better=False)
