"""What a report counts of one run: classes, confusions, places, difficulty, confidence, rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fgvr_bench.metrics.calibration_error import BINS
from fgvr_bench.report.reading import Answers, Sheet, State

RANKS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 8), (9, None))
"""Bins of the truth's rank among all labels; the last has no end."""
MARGINS = 8
"""Bins of the truth's margin, of equal numbers of questions."""
PAIRS = 24
"""So many of the hardest pairs are shown."""
EXAMPLES = 4
"""So many questions at most stand for a class, or for one direction of a confusion."""
MATRIX = 60
"""A matrix of more classes cannot be read; then there is none."""


def figures_of(sheet: Sheet, answers: Answers, margins: Sequence[float | None] | None) -> dict[str, Any]:
    """Return every figure of a run, ready for JSON.

    ``margins``: the truth's similarity less the nearest wrong label's, a question; None where nobody knows them.
    """
    return {
        "classes": classes_of(sheet, answers),
        "pairs": pairs_of(sheet, answers),
        "matrix": matrix_of(sheet, answers),
        "positions": positions_of(sheet, answers),
        "ranks": ranks_of(sheet, answers),
        "margins": margins_of(answers, margins),
        "calibration": calibration_of(answers),
        "rules": sorted(Counter(zip(answers.rules, answers.states, strict=True)).items(), key=lambda item: -item[1]),
    }


def classes_of(sheet: Sheet, answers: Answers) -> list[list[int]]:
    """Return ``[name, asked, right, unparsed or failed]`` of each class that was asked about."""
    counts: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row, state in zip(sheet.rows, answers.states, strict=True):
        count = counts[row.label]
        count[0] += 1
        count[1] += state == State.RIGHT
        count[2] += state in (State.UNPARSED, State.FAILED)
    return [[label, *counts[label]] for label in sorted(counts)]


@dataclass(slots=True)
class _Direction:
    """Answers ``given`` where the truth is another class."""

    offered: int = 0
    taken: int = 0
    questions: list[int] = field(default_factory=list)


def _directions(sheet: Sheet, answers: Answers) -> dict[tuple[int, int], _Direction]:
    """Return, by (truth, other class): how often the other was offered and taken."""
    found: defaultdict[tuple[int, int], _Direction] = defaultdict(_Direction)
    asked = Counter(row.label for row in sheet.rows)
    for place, (row, given) in enumerate(zip(sheet.rows, answers.given, strict=True)):
        for offered in row.choices or ():
            if offered != row.label:
                found[row.label, offered].offered += 1
        if given is None or (name := sheet.choice(row, given)) == row.label or row.subject is not None:
            continue
        direction = found[row.label, name]
        direction.taken += 1
        if row.choices is None:
            direction.offered = asked[row.label]
        if len(direction.questions) < EXAMPLES:
            direction.questions.append(place)
    return found


def pairs_of(sheet: Sheet, answers: Answers) -> list[dict[str, Any]]:
    """Return the pairs of classes that were taken for one another most often, the hardest first.

    Of each direction: how often the wrong one was taken, how often it could have been, and example questions.
    """
    found = _directions(sheet, answers)
    pairs: Counter[tuple[int, int]] = Counter()
    for (truth, other), direction in found.items():
        pairs[min(truth, other), max(truth, other)] += direction.taken
    hardest = sorted(((count, pair) for pair, count in pairs.items() if count), key=lambda item: (-item[0], item[1]))
    right = _right_examples(sheet, answers)
    made = []
    for _, (one, two) in hardest[:PAIRS]:
        sides = [
            [direction.taken, direction.offered, direction.questions]
            for direction in (found[one, two], found[two, one])
        ]
        made.append({"names": [one, two], "sides": sides, "right": [right[one], right[two]]})
    return made


def _right_examples(sheet: Sheet, answers: Answers) -> defaultdict[int, list[int]]:
    found: defaultdict[int, list[int]] = defaultdict(list)
    for place, (row, state) in enumerate(zip(sheet.rows, answers.states, strict=True)):
        if state == State.RIGHT and len(found[row.label]) < EXAMPLES:
            found[row.label].append(place)
    return found


def matrix_of(sheet: Sheet, answers: Answers) -> list[list[int]] | None:
    """Return ``[truth, given, count]`` of every pair met, or None for too many classes or a yes/no task."""
    if sheet.labels > MATRIX or any(row.subject is not None for row in sheet.rows[:1]):
        return None
    cells: Counter[tuple[int, int]] = Counter()
    for row, given in zip(sheet.rows, answers.given, strict=True):
        if given is not None:
            cells[row.label, sheet.choice(row, given)] += 1
    return [[truth, given, count] for (truth, given), count in sorted(cells.items())]


def positions_of(sheet: Sheet, answers: Answers) -> list[list[Any]]:
    """Return ``[letter, truth stood there, right then, given at all]`` of each letter."""
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row, state, given in zip(sheet.rows, answers.states, answers.given, strict=True):
        if not row.letters or row.target is None:
            continue
        stood = counts[row.letters[row.target]]
        stood[0] += 1
        stood[1] += state == State.RIGHT
        if given is not None:
            counts[row.letters[given]][2] += 1
    return [[letter, *counts[letter]] for letter in sorted(counts)]


def ranks_of(sheet: Sheet, answers: Answers) -> list[list[Any]]:
    """Return ``[ranks, asked, right]`` of each bin of the truth's rank by the miner's similarity."""
    counts = [[0, 0] for _ in RANKS]
    for row, state in zip(sheet.rows, answers.states, strict=True):
        for count, (first, last) in zip(counts, RANKS, strict=True):
            if row.rank is not None and row.rank >= first and (last is None or row.rank <= last):
                count[0] += 1
                count[1] += state == State.RIGHT
    names = [str(first) if first == last else f"{first}–{last}" if last else f"{first} and on" for first, last in RANKS]
    return [[name, *count] for name, count in zip(names, counts, strict=True) if count[0]]


def margins_of(answers: Answers, margins: Sequence[float | None] | None) -> list[list[Any]]:
    """Return ``[lowest margin, highest, asked, right]`` of bins that hold as many questions each."""
    known = [
        (margin, state == State.RIGHT)
        for margin, state in zip(margins or (), answers.states, strict=bool(margins))
        if margin is not None
    ]
    known.sort()
    made: list[list[Any]] = []
    for number in range(MARGINS):
        part = known[number * len(known) // MARGINS : (number + 1) * len(known) // MARGINS]
        if part:
            made.append([part[0][0], part[-1][0], len(part), sum(right for _, right in part)])
    return made


def calibration_of(answers: Answers) -> list[list[Any]]:
    """Return ``[bin, answers, right, mean confidence]`` of the bins of the metric ``calibration-error``."""
    bins = [[0, 0, 0.0] for _ in range(BINS)]
    for sure, state in zip(answers.confidences, answers.states, strict=True):
        if sure is not None:
            found = bins[min(int(sure * BINS), BINS - 1)]
            found[0] += 1
            found[1] += state == State.RIGHT
            found[2] += sure
    return [
        [number, count, right, round(total / count, 4)] for number, (count, right, total) in enumerate(bins) if count
    ]
