"""Following one example through its orders, which stand side by side in a run."""

from __future__ import annotations

from abc import ABC, abstractmethod

from fgvr_bench.interfaces import Scored


class OrdersOfOne(ABC):
    """Collects the judged responses of one example, and hands them over when the next example begins."""

    __slots__ = ("_current", "_group", "_seen_several")

    def __init__(self) -> None:
        self._current: str | None = None
        self._group: list[Scored] = []
        self._seen_several = False

    def add(self, scored: Scored) -> None:
        """Take one judged response in."""
        example_id = scored.question.example.example_id
        if example_id != self._current:
            self._close()
            self._current = example_id
        self._group.append(scored)

    def result(self) -> float | None:
        """Return the figure; None where every example was asked in one order only."""
        self._close()
        return self.figure() if self._seen_several else None

    def _close(self) -> None:
        if len(self._group) > 1:
            self._seen_several = True
            self.take(self._group)
        self._group = []

    @abstractmethod
    def take(self, orders: list[Scored]) -> None:
        """Take in all judged responses of one example, two or more."""

    @abstractmethod
    def figure(self) -> float | None:
        """Return the figure over the examples so far."""


def label_given(scored: Scored) -> str | None:
    """Return the label that was answered, whatever its place."""
    choice = scored.answer.choice
    return None if choice is None else scored.question.choices[choice]
