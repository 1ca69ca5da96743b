"""Figures of a run, from its lines in canonical order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fgvr_bench.core.host import Host
from fgvr_bench.core.records import from_line
from fgvr_bench.interfaces import Accumulator, Metric, Scored, Task
from fgvr_bench.types import Answer, Question, Response


def metrics_of(host: Host, task: Task) -> list[Metric]:
    """Return the task's metrics, the main one first, and those that other distributions add."""
    named = [host.metrics[name] for name in task.metrics]
    own = host.metrics.owner(task.metrics[0])
    added = [metric for metric in host.metrics if metric.name not in task.metrics]
    return named + [metric for metric in added if host.metrics.owner(metric.name) != own]


@dataclass(slots=True)
class Scorer:
    """Judges responses and adds them up; memory does not grow with their number."""

    task: Task
    metrics: Sequence[Metric]
    answered: int = 0
    correct: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)
    """Metrics that broke, in a sentence each."""
    positions: dict[str, list[int]] = field(default_factory=dict)
    """For each letter: how often the truth stood there, how often it was then given, how often it was given at all."""
    _running: dict[str, Accumulator] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for metric in self.metrics:
            self._running[metric.name] = metric.start()

    def add(self, question: Question, response: Response) -> Answer:
        """Judge one response."""
        answer = self.task.judge(question, response)
        self.count(Scored(question, response, answer))
        return answer

    def count(self, scored: Scored) -> None:
        """Take in a response that was judged."""
        question, response, answer = scored.question, scored.response, scored.answer
        self.answered += 1
        self.correct += answer.correct
        self.failed += response.error is not None
        if question.letters and question.target is not None:
            self._count_position(question, answer)
        for name in list(self._running):
            try:
                self._running[name].add(scored)
            except Exception as error:
                self._drop(name, error)

    def _count_position(self, question: Question, answer: Answer) -> None:
        letter = question.letters[question.target or 0]
        counts = self.positions.setdefault(letter, [0, 0, 0])
        counts[0] += 1
        counts[1] += answer.correct
        if answer.choice is not None:
            self.positions.setdefault(question.letters[answer.choice], [0, 0, 0])[2] += 1

    def add_line(self, line: bytes, labels: tuple[str, ...]) -> None:
        """Judge a stored line.

        Raises:
            ValueError: it is no response.
        """
        self.add(*from_line(line, labels))

    def results(self) -> dict[str, float | None]:
        """Return every metric's figure, None where the run gives none."""
        found: dict[str, float | None] = {}
        for metric in self.metrics:
            if metric.name not in self._running:
                found[metric.name] = None
                continue
            try:
                found[metric.name] = self._running[metric.name].result()
            except Exception as error:
                self._drop(metric.name, error)
                found[metric.name] = None
        return found

    def _drop(self, name: str, error: Exception) -> None:
        del self._running[name]
        self.problems.append(f"metric {name} broke and has no figure: {type(error).__name__}: {error}")
