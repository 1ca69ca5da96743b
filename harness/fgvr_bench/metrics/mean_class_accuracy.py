"""Mean class accuracy: the mean over classes of the share answered rightly, each class with equal weight."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class MeanClassAccuracy:
    """Counts right answers for each label."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def add(self, scored: Scored) -> None:
        """Take one judged response in."""
        label = scored.question.example.label
        counts = self._counts.get(label)
        if counts is None:
            counts = self._counts[label] = [0, 0]
        counts[scored.answer.correct] += 1

    def result(self) -> float | None:
        """Return the mean over the classes that were asked about; None where there are none."""
        if not self._counts:
            return None
        shares = [self._counts[label][1] / sum(self._counts[label]) for label in sorted(self._counts)]
        return sum(shares) / len(shares)


METRIC = Metric("mean-class-accuracy", "Mean class accuracy", MeanClassAccuracy)
