"""Runs as a report reads them: the questions of a column once, and each run's answers in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from enum import StrEnum

from fgvr_bench.core.files import digest
from fgvr_bench.core.results import Column
from fgvr_bench.errors import DataInvalid
from fgvr_bench.interfaces import Scored
from fgvr_bench.types import Question, ScoreKind


class State(StrEnum):
    """What became of a question; one character each, so that a run's verdicts are a short text."""

    RIGHT = "r"
    WRONG = "w"
    UNPARSED = "u"
    """Answered, but with no single choice."""
    FAILED = "f"
    """The model or the image failed."""


KEPT_SCORES = 8
"""Of the scores of a question with many choices so many are shown, the highest; the truth's always."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question, with texts as places in `Sheet.names`."""

    example_id: str
    permutation: int
    label: int
    choices: tuple[int, ...] | None
    """In shown order; None stands for all labels."""
    target: int | None
    letters: str
    subject: int | None
    rank: int | None


@dataclass(slots=True)
class Sheet:
    """The questions that all runs of one column were asked."""

    column: Column
    names: list[str]
    """All labels in published order, then whatever else was offered."""
    labels: int
    """How many of the names are labels."""
    rows: list[Row] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    _offered: dict[tuple[str, ...], tuple[int, ...] | None] = field(default_factory=dict)

    @classmethod
    def of(cls, column: Column, labels: Iterable[str]) -> Sheet:
        """Start an empty sheet."""
        names = list(labels)
        return cls(column, names, len(names), _places={name: place for place, name in enumerate(names)})

    @property
    def key(self) -> str:
        """Name of the column in links and files."""
        return column_key(self.column)

    def row(self, question: Question) -> Row:
        """Return a question as a row; texts that are new get a place."""
        return Row(
            question.example.example_id,
            question.permutation,
            self.place(question.example.label),
            self._choices(question.choices),
            question.target,
            "".join(question.letters),
            None if question.subject is None else self.place(question.subject),
            question.truth_rank,
        )

    def place(self, name: str) -> int:
        """Return the place of a text among the names, a new one where it has none."""
        found = self._places.setdefault(name, len(self.names))
        if found == len(self.names):
            self.names.append(name)
        return found

    def choice(self, row: Row, index: int) -> int:
        """Return the name that a choice of a row stands for, as a place."""
        return index if row.choices is None else row.choices[index]

    def _choices(self, choices: tuple[str, ...]) -> tuple[int, ...] | None:
        if choices not in self._offered:
            whole = len(choices) == self.labels and list(choices) == self.names[: self.labels]
            found = None if whole else tuple(self.place(choice) for choice in choices)
            if len(choices) > KEPT_SCORES:  # long and the same in every question; short ones seldom come twice
                self._offered[choices] = found
            return found
        return self._offered[choices]


@dataclass(slots=True)
class Answers:
    """What one run answered, aligned with a sheet's rows."""

    states: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    given: list[int | None] = field(default_factory=list)
    """The choice as its index in shown order."""
    said: list[tuple[str | None, str | None]] = field(default_factory=list)
    """Completion, and error."""
    scores: list[list[tuple[int, float]] | None] = field(default_factory=list)
    """The highest scores with the index of their choice; the truth's among them."""
    confidences: list[float | None] = field(default_factory=list)
    """Probability of the likeliest choice, of log-probabilities normalised over the choices."""
    kind: str = ""
    """What the scores are; empty without any."""


def column_key(column: Column) -> str:
    """Return a short name of a column, the same in every report.

    Two columns that differ in nothing but their digests have two names.
    """
    return digest(list(astuple(column)))[:10]


def column_names(columns: Sequence[Column]) -> dict[Column, str]:
    """Return a name for each column: dataset, split, subset, task, and what else sets it apart from the others."""
    told: dict[Column, list[str]] = {}
    for column in columns:
        split = column.split if column.split != "test" else ""
        task = "" if column.task == "multiple-choice" else column.task
        guide = "field guide" if column.guide else ""
        told[column] = [part for part in (column.dataset, split, column.subset, task, guide) if part]
    apart: tuple[Callable[[Column], str], ...] = (
        lambda column: column.protocol,
        lambda column: f"seed {column.seed}",
        lambda column: f"{column.permutations} orders",
        lambda column: f"options {column.options[:8]}",
        lambda column: f"images {column.images[:8]}",
        lambda column: f"field guide {column.guide[:8]}",
        lambda column: column_key(column),
    )
    for say in apart:
        twins = [column for column in columns if sum(other == told[column] for other in told.values()) > 1]
        if len({say(column) for column in twins}) > 1:
            for column in twins:
                told[column].append(say(column))
    return {column: ", ".join(parts) for column, parts in told.items()}


def read_answers(sheet: Sheet, scored: Iterable[Scored], whose: str) -> Answers:
    """Lay a run's answers beside the questions of its column; the first run fills an empty sheet.

    Raises:
        DataInvalid: the run was asked other questions than the column's first one.
    """
    answers = Answers()
    first = not sheet.rows
    place = 0
    for place, each in enumerate(scored, 1):
        row = sheet.row(each.question)
        if first:
            sheet.rows.append(row)
            sheet.ids.append(each.question.question_id)
        elif (
            place > len(sheet.rows) or row != sheet.rows[place - 1] or each.question.question_id != sheet.ids[place - 1]
        ):
            raise _other_questions(whose, f"{each.question.question_id} (line {place})")
        _add(answers, each)
    if place != len(sheet.rows):
        raise _other_questions(whose, f"{place:,} of {len(sheet.rows):,}")
    return answers


def _other_questions(whose: str, what: str) -> DataInvalid:
    return DataInvalid(
        f"{whose} claims to have been asked what the runs before it were, and was not: {what}.",
        hint="Leave one of them out.",
    )


def _add(answers: Answers, scored: Scored) -> None:
    response, answer = scored.response, scored.answer
    answers.states.append(_state(scored))
    answers.rules.append(answer.rule)
    answers.given.append(answer.choice)
    answers.said.append((response.completion, response.error))
    answers.scores.append(_highest(response.scores, scored.question.target))
    answers.confidences.append(confidence(response.scores) if response.score_kind is ScoreKind.LOGPROB else None)
    if response.score_kind is not None:
        answers.kind = response.score_kind.value


def _state(scored: Scored) -> State:
    if scored.answer.correct:
        return State.RIGHT
    if scored.response.error is not None:
        return State.FAILED
    return State.UNPARSED if scored.answer.choice is None else State.WRONG


def _highest(scores: tuple[float, ...] | None, target: int | None) -> list[tuple[int, float]] | None:
    if scores is None:
        return None
    places = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
    kept = places[:KEPT_SCORES]
    if target is not None and target < len(scores) and target not in kept:
        kept.append(target)
    return [(place, scores[place]) for place in sorted(kept)]


def confidence(scores: tuple[float, ...] | None) -> float | None:
    """Return the largest of the choices' probabilities, normalised over the choices."""
    from math import exp

    if not scores:
        return None
    highest = max(scores)
    return 1 / sum(exp(score - highest) for score in scores)


def groups_of(names: list[str], ranks: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the nearest rank above each name, empty where none is known."""
    return [ranks[name][-1] if ranks.get(name) else "" for name in names]
