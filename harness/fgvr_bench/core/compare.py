"""Two runs on the same questions: the difference, how sure it is, and what changed.

The order of the two matters: a difference is the accuracy of the first run minus that of the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.host import Host
from fgvr_bench.core.judged import judged
from fgvr_bench.core.results import Column, StoredRun
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.core.statistics import (
    Interval,
    clustered_interval,
    detectable_difference,
    difference_spread,
    mcnemar_exact,
    paired_difference,
    sign_flip_test,
)
from fgvr_bench.errors import DataInvalid, UsageError

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Scored

ASKED_AS = {
    "dataset": "dataset",
    "split": "split",
    "images": "dataset digest",
    "subset": "subset",
    "members": "members of the subset",
    "options": "option set",
    "miner": "miner of the options",
    "protocol": "protocol",
    "task": "task",
    "permutations": "orders a question",
    "seed": "seed",
}
"""What two runs have to share, in words.  Whether the pictures were shown is not among it: a run may be held against
its control with blank ones, which was asked the very same questions.  Nor is the field guide: with it minus without
it is what the descriptions are worth."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs."""

    run: StoredRun
    right: int
    accuracy: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Said:
    """What a run answered to one question."""

    correct: bool
    given: str | None
    """The choice; None where there was no single one."""
    rule: str
    completion: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Flip:
    """A question that only one of the two answered rightly."""

    question_id: str
    example_id: str
    label: str
    choices: tuple[str, ...]
    a: Said
    b: Said


@dataclass(frozen=True, slots=True)
class ClassChange:
    """A class in which the two differ."""

    label: str
    asked: int
    right_a: int
    right_b: int
    only_a: int
    """Questions that only the first answered rightly."""
    only_b: int


@dataclass(frozen=True, slots=True)
class Apart:
    """Something in which the two runs differ beside their answers."""

    name: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first run held against the second."""

    a: Side
    b: Side
    questions: int
    difference: float
    """Accuracy of the first minus that of the second."""
    interval: Interval
    """Of the difference: 95 %, paired, clustered by class."""
    sign_flip: float
    """p of the sign-flip permutation test, paired and clustered by class: the one that boards rank by."""
    mcnemar: float
    """p of McNemar's exact test, which takes questions for independent."""
    detectable: float | None
    """The smallest true difference that would have been found four times in five; None with a single class."""
    only_a: int
    only_b: int
    classes: tuple[ClassChange, ...]
    """Classes with any change, those that lost most first."""
    flips: tuple[Flip, ...]
    """In the order in which they were asked."""
    apart: tuple[Apart, ...]


def compare(host: Host, a: StoredRun, b: StoredRun) -> Comparison:
    """Hold two complete runs against one another, question by question.

    Raises:
        UsageError: they were not asked the same; says what differs.
        DataInvalid: they claim to have been, and were not.
        FgvrError: responses that are damaged or gone.
    """
    if a.folder.resolve() == b.folder.resolve():
        raise UsageError(f"both are the run {a.folder}.", hint="Name two runs.")
    check_comparable(a.column, b.column)
    correct: tuple[list[bool], list[bool]] = ([], [])
    labels: list[str] = []
    flips: list[Flip] = []
    for one, other in _side_by_side(host, a, b):
        labels.append(one.question.example.label)
        for answers, scored in zip(correct, (one, other), strict=True):
            answers.append(scored.answer.correct)
        if one.answer.correct != other.answer.correct:
            flips.append(_flip(one, other))
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    clusters = [numbers[label] for label in labels]
    difference, interval = paired_difference(*correct, clusters)
    return Comparison(
        a=_side(a, correct[0], clusters),
        b=_side(b, correct[1], clusters),
        questions=len(labels),
        difference=difference,
        interval=interval,
        sign_flip=sign_flip_test(*correct, clusters),
        mcnemar=mcnemar_exact(*correct),
        detectable=detectable_difference(difference_spread(*correct, clusters)),
        only_a=sum(flip.a.correct for flip in flips),
        only_b=sum(flip.b.correct for flip in flips),
        classes=tuple(_classes(labels, *correct)),
        flips=tuple(flips),
        apart=tuple(_apart(a, b)),
    )


def check_comparable(a: Column, b: Column) -> None:
    """Make sure that two runs were asked the same.

    Raises:
        UsageError: names everything in which they differ.
    """
    differing = [
        f"{ASKED_AS[field.name]} {_short(one)} and {_short(other)}"
        for field, one, other in zip(fields(a), astuple(a), astuple(b), strict=True)
        if field.name in ASKED_AS and one != other
    ]
    if differing:
        raise UsageError(
            f"the two runs were not asked the same questions: {'; '.join(differing)}.",
            hint="Compare runs of one dataset, option set, protocol, task and seed.",
        )


def _short(value: object) -> str:
    text = str(value)
    return (text[:12] if len(text) == 64 else text) or "none"


def _side_by_side(host: Host, a: StoredRun, b: StoredRun) -> Iterator[tuple[Scored, Scored]]:
    """Yield the two runs' judged responses, pair by pair.

    Raises:
        DataInvalid: a question is not the same in both.
    """
    streams = [judged(host, RunFolder(run.folder), RunFolder(run.folder).read_run() or {}) for run in (a, b)]
    for one, other in zip_longest(*streams):
        if one is None or other is None or _asked(one) != _asked(other):
            found = one or other
            raise DataInvalid(
                f"{a.folder} and {b.folder} claim to have been asked the same, and were not: "
                f"{found.question.question_id} is not the same question in both.",
                hint="Run one of them again with --fresh.",
            )
        yield one, other


def _asked(scored: Scored) -> tuple[Any, ...]:
    question = scored.question
    return (
        question.question_id,
        question.example.label,
        question.choices,
        question.target,
        question.letters,
        question.subject,
    )


def _flip(one: Scored, other: Scored) -> Flip:
    question = one.question
    return Flip(
        question_id=question.question_id,
        example_id=question.example.example_id,
        label=question.example.label,
        choices=question.choices,
        a=_said(one),
        b=_said(other),
    )


def _said(scored: Scored) -> Said:
    choice = scored.answer.choice
    return Said(
        correct=scored.answer.correct,
        given=None if choice is None else scored.question.choices[choice],
        rule=scored.answer.rule,
        completion=scored.response.completion,
        error=scored.response.error,
    )


def _side(run: StoredRun, correct: Sequence[bool], clusters: Sequence[int]) -> Side:
    right = sum(correct)
    return Side(run, right, right / len(correct), clustered_interval(correct, clusters))


def _classes(labels: Sequence[str], a: Sequence[bool], b: Sequence[bool]) -> list[ClassChange]:
    counts: dict[str, list[int]] = {}
    for label, one, other in zip(labels, a, b, strict=True):
        count = counts.setdefault(label, [0] * 5)
        for place, value in enumerate((1, one, other, one and not other, other and not one)):
            count[place] += value
    changed = [ClassChange(label, *count) for label, count in counts.items() if count[3] or count[4]]
    return sorted(changed, key=lambda each: (each.right_a - each.right_b, each.label))


def _apart(a: StoredRun, b: StoredRun) -> list[Apart]:
    """Return what differs between the two beside the questions: inputs, batches, versions."""
    trees = [_described(run) for run in (a, b)]
    names = sorted({name for tree in trees for name in tree})
    return [
        Apart(name, trees[0].get(name, "none"), trees[1].get(name, "none"))
        for name in names
        if trees[0].get(name) != trees[1].get(name)
    ]


def _described(run: StoredRun) -> Mapping[str, str]:
    inputs = {name: value.strip('"') for name, value in {**run.identity, **run.origin}.items()}
    batches = {"batch size used": str(run.batch_size), "scored by fgvr-bench": run.scored_by}
    told = {"images": run.column.shown, "field guide": run.column.guide[:12] or "none"}
    return {**told, **inputs, **batches, **versions_of(run.folder)}


def versions_of(folder: Path) -> dict[str, str]:
    """Return the library versions that a run was executed with, as far as its ``machine.json`` is there."""
    found: dict[str, set[str]] = {}
    for execution in RunFolder(folder).read_executions():
        versions = execution.get("versions") if isinstance(execution, dict) else None
        for name, version in (versions or {}).items() if isinstance(versions, dict) else ():
            found.setdefault(f"version of {name}", set()).add(str(version))
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
