"""The conformance kit on metrics: each thing that a metric can get wrong is said in a sentence."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from fgvr_bench.core.host import Host
from fgvr_bench.interfaces import Metric, Scored
from fgvr_bench.testing import PluginFault, check_metric

INSTALLED = Host()
INSTALLED.load_entry_points()


class Share:
    """The share of right answers; a test replaces what it gets wrong."""

    def __init__(self) -> None:
        self.asked = self.right = 0

    def add(self, scored: Scored) -> None:
        self.asked += 1
        self.right += self.counts(scored)

    def counts(self, scored: Scored) -> Any:
        return scored.answer.correct

    def result(self) -> Any:
        return self.right / self.asked if self.asked else None


def faults(start: Any, name: str = "right", title: str = "Right", **more: Any) -> str:
    """Return what the kit says is wrong."""
    with pytest.raises(PluginFault) as caught:
        check_metric(Metric(name, title, start, **more))
    assert caught.value.subject == f"Metric {name!r}"
    return str(caught.value)


def test_nothing_is_said_against_a_metric_that_is_right() -> None:
    check_metric(Metric("right", "Right", Share))


@pytest.mark.parametrize("metric", list(INSTALLED.metrics), ids=lambda metric: metric.name)
def test_every_bundled_metric_passes(metric: Metric) -> None:
    check_metric(metric)


@pytest.mark.parametrize(
    ("name", "title", "said"),
    [
        ("two words", "Right", "It cannot be registered: 'two words' cannot name a metric"),
        ("right", "", "Its title is ''"),
        ("right", "Right ", "Its title is 'Right '"),
    ],
)
def test_a_name_or_title_that_is_none_is_found(name: str, title: str, said: str) -> None:
    assert said in faults(Share, name, title)


class Alone(Share):
    """Counts right answers where all are told of all others."""

    seen: list[Scored] = []  # noqa: RUF012 - the fault

    def add(self, scored: Scored) -> None:
        super().add(scored)
        self.seen.append(scored)

    def result(self) -> Any:
        return len(self.seen)


class Gives(Share):
    """Gives what a test brings along, of the number of right answers and of all."""

    def __init__(self, figure: Callable[[int, int], Any]) -> None:
        super().__init__()
        self.figure = figure

    def result(self) -> Any:
        return self.figure(self.right, self.asked)


class Counts(Share):
    def __init__(self, counts: Callable[[Scored], Any]) -> None:
        super().__init__()
        self.counts = counts  # type: ignore[method-assign]


class Remembers(Share):
    def __init__(self) -> None:
        super().__init__()
        self.answers: list[bool] = []

    def add(self, scored: Scored) -> None:
        super().add(scored)
        self.answers.append(scored.answer.correct)


class Forgets(Share):
    def result(self) -> Any:
        found = super().result()
        self.asked = self.right = 0
        return found


ONE = Share()


def looks_at_bricks(scored: Scored) -> bool:
    return "brick" in scored.question.question_id and scored.question.example.image.read() != b""


WRONG: dict[str, tuple[Any, str]] = {
    "an instance": (ONE, "Its start is a Share; it is called for each run"),
    "one for all runs": (lambda: ONE, "start() returns the accumulator of the run before"),
    "a start that breaks": (lambda: 1 / 0, "start() raises ZeroDivisionError"),
    "no accumulator": (list, "start() returns a list without add and result()"),
    "division by nothing": (
        lambda: Gives(lambda right, asked: right / asked),
        "In a run without any question, it raises ZeroDivisionError",
    ),
    "a target where there is none": (
        lambda: Counts(lambda scored: scored.response.completion.startswith("A")),
        "In a run of multiple choice, it raises AttributeError",
    ),
    "percent": (lambda: Gives(lambda right, asked: 100 * right / max(1, asked)), "and it is a share of 1. Divide it"),
    "not a number": (lambda: Gives(lambda right, asked: float("nan")), "result() returns nan. Return None where"),
    "text": (lambda: Gives(lambda right, asked: f"{right} of {asked}"), "result() returns a str. Return a float"),
    "a verdict": (lambda: Gives(lambda right, asked: right > 0), "result() returns a bool. Return a float"),
    "counts of its class": (Alone, "is another one beside other runs"),
    "an end that counts": (Forgets, "result() gives another figure when it is asked again"),
    "lots": (
        lambda: Counts(lambda scored: random.random() < 0.5),
        "It moves the global generator of random. A figure is not drawn by lot.",
    ),
    "an object's number": (
        lambda: Gives(lambda right, asked: random.SystemRandom().random()),
        "is another one beside other runs, or at another time",
    ),
    "the picture": (
        lambda: Counts(looks_at_bricks),
        "that is scored again from its file, it raises OSError",
    ),
    "where the picture is": (
        lambda: Counts(lambda scored: hasattr(scored.question.example.image, "path")),
        "0.0 when the run is scored again from its file. A file of results holds no images and no metadata",
    ),
    "every answer": (Remembers, "bytes a question. Keep sums and counts"),
}


@pytest.mark.parametrize("what", WRONG)
def test_figures_that_could_not_be_had_again_are_found(what: str) -> None:
    start, said = WRONG[what]
    assert said in faults(start)


def test_what_is_no_share_may_be_more_than_one() -> None:
    check_metric(Metric("right", "Right", lambda: Gives(lambda right, asked: 100 * right), share=False))


def test_an_answer_that_failed_is_among_those_it_sees() -> None:
    # a metric that is tried on good answers only breaks in the first real run
    seen: list[bool] = []
    with pytest.raises(PluginFault):
        check_metric(Metric("right", "Right", lambda: Counts(lambda scored: seen.append(bool(scored.response.error)))))
    assert {True, False} == set(seen)
