"""Two option sets of one dataset side by side: how far they agree, and which is harder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fgvr_bench.core.option_files import iter_options
from fgvr_bench.errors import OptionsInvalid
from fgvr_bench.types import Options


@dataclass(slots=True)
class _Sums:
    """Running sums over questions."""

    questions: int = 0
    same_set: int = 0
    same_order: int = 0
    shared: int = 0
    wrong: int = 0

    def add(self, one: Options, other: Options) -> None:
        mine, theirs = set(one.choices[1:]), set(other.choices[1:])
        self.questions += 1
        self.same_set += mine == theirs
        self.same_order += one.choices == other.choices
        self.shared += len(mine & theirs)
        self.wrong += max(len(mine), len(theirs))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two sets have in common."""

    questions: int
    """Examples that both have."""
    only_a: int
    only_b: int
    same_set: float
    """Share of questions with the same choices."""
    same_order: float
    """Share of questions with the same choices in the same order."""
    shared: float
    """Mean share of the wrong choices that both offer."""
    difficulty: tuple[Difficulty, Difficulty]
    by_label: tuple[tuple[str, float, int], ...]
    """(label, share of wrong choices that both offer, questions), the least shared first."""
    differing: tuple[tuple[Options, Options], ...]
    """The first few questions that share the fewest choices."""


@dataclass(slots=True)
class Difficulty:
    """How hard a set's questions are for the encoder that mined it."""

    questions: int = 0
    with_similarity: int = 0
    first: int = 0
    """Questions whose truth is the encoder's first choice."""
    margins: float = 0.0
    _counts: dict[int, int] = field(default_factory=dict)

    def add(self, row: Options) -> None:
        """Count a question."""
        self.questions += 1
        self._counts[len(row.choices)] = self._counts.get(len(row.choices), 0) + 1
        if row.truth_margin is not None:
            self.with_similarity += 1
            self.first += row.truth_margin > 0
            self.margins += row.truth_margin

    @property
    def first_share(self) -> float | None:
        """Accuracy of the mining encoder on its own questions; None where the miner looked at no image."""
        return self.first / self.with_similarity if self.with_similarity else None

    @property
    def mean_margin(self) -> float | None:
        """Mean similarity of the truth minus that of the hardest wrong choice."""
        return self.margins / self.with_similarity if self.with_similarity else None

    @property
    def mean_choices(self) -> float:
        """Choices a question."""
        return sum(size * count for size, count in self._counts.items()) / max(1, self.questions)


def compare_options(a: Path, b: Path, shown: int = 5) -> Comparison:
    """Compare two sets, row by row in constant memory.

    Raises:
        OptionsInvalid: a damaged file, or the two have no example in common.
    """
    total = _Sums()
    labels: dict[str, _Sums] = defaultdict(_Sums)
    hard = (Difficulty(), Difficulty())
    only = [0, 0]
    worst: list[tuple[int, Options, Options]] = []
    for one, other in _merge(iter_options(a), iter_options(b)):
        for place, row in enumerate((one, other)):
            if row is not None:
                hard[place].add(row)
        if one is None or other is None:
            only[0] += other is None
            only[1] += one is None
            continue
        if one.truth != other.truth:
            raise OptionsInvalid(f"{one.example_id} is {one.truth!r} in {a} and {other.truth!r} in {b}.")
        total.add(one, other)
        labels[one.truth].add(one, other)
        common = len(set(one.choices) & set(other.choices))
        worst = sorted([*worst, (common, one, other)], key=lambda each: each[0])[:shown]
    if not total.questions:
        raise OptionsInvalid(f"{a} and {b} have no example in common.", hint="Compare sets of one dataset and split.")
    by_label = sorted((each.shared / max(1, each.wrong), label, each.questions) for label, each in labels.items())
    return Comparison(
        questions=total.questions,
        only_a=only[0],
        only_b=only[1],
        same_set=total.same_set / total.questions,
        same_order=total.same_order / total.questions,
        shared=total.shared / max(1, total.wrong),
        difficulty=hard,
        by_label=tuple((label, share, count) for share, label, count in by_label),
        differing=tuple((one, other) for _, one, other in worst if set(one.choices) != set(other.choices)),
    )


def _merge(a: Iterable[Options], b: Iterable[Options]) -> Iterator[tuple[Options | None, Options | None]]:
    """Pair the rows of two sorted files by id."""
    ones, others = iter(a), iter(b)
    one, other = next(ones, None), next(others, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.example_id < other.example_id):
            yield one, None
            one = next(ones, None)
        elif one is None or other.example_id < one.example_id:
            yield None, other
            other = next(others, None)
        else:
            yield one, other
            one, other = next(ones, None), next(others, None)
