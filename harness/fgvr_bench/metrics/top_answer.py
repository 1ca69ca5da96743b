"""Top answer: the share of the choice given most often (of four letters, 25 % where no letter is preferred)."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class TopAnswer:
    """Counts how often each choice was given, by its place."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, scored: Scored) -> None:
        """Take one judged response in; one without a choice does not count."""
        choice = scored.answer.choice
        if choice is not None:
            self._counts[choice] = self._counts.get(choice, 0) + 1

    def result(self) -> float | None:
        """Return the largest count divided by all answers with a choice; None where there are none."""
        return max(self._counts.values()) / sum(self._counts.values()) if self._counts else None


METRIC = Metric("top-answer", "Most frequent answer", TopAnswer, higher_is_better=False)
