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
    """What was asked, with the right choice."""
    response: Response
    """What the model answered."""
    answer: Answer
    """The verdict on it."""


class Accumulator(Protocol):
    """Sees every judged response of a run once, in canonical order."""

    def add(self, scored: Scored) -> None:
        """Take in one judged response."""
        ...

    def result(self) -> float | None:
        """Return the figure, or None where the run gives none."""
        ...


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a run; memory of its accumulator must not grow with the number of questions."""

    name: str
    """The key users type and results are kept under, for example ``accuracy``."""
    title: str
    """What stands above its column."""
    start: Callable[[], Accumulator]
    """Makes a fresh accumulator for a run; usually the accumulator's class."""
    higher_is_better: bool = True
    """Whether a higher figure is the better one."""
    share: bool = True
    """Whether it is a share of 1, shown in percent."""
