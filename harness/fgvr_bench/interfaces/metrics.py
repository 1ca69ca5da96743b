"""What a metric provides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fgvr_bench.types import Answer, Question, Response


@dataclass(frozen=True, slots=True)
class Scored:
    """One judged response, as a metric sees it."""

    question: Question
    response: Response
    answer: Answer


class Accumulator(Protocol):
    """Sees every judged response of a run once, in canonical order."""

    def add(self, scored: Scored) -> None: ...

    def result(self) -> float | None:
        """Return the figure, or None where the run gives none."""
        ...


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a run; memory of its accumulator must not grow with the number of questions."""

    name: str
    title: str
    start: Callable[[], Accumulator]
    higher_is_better: bool = True
    share: bool = True
    """Whether it is a share of 1, shown in percent."""
