"""How the models of one board stand to one another: intervals, averages, ranks, and what is level with the best."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from fgvr_bench.core.board_store import BoardStore
from fgvr_bench.core.files import digest
from fgvr_bench.core.results import Column
from fgvr_bench.core.statistics import (
    ROUNDS,
    SEED,
    Interval,
    clustered_interval,
    interval_of_sums,
    mean_of_datasets,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fgvr_bench.core.index import Index
    from fgvr_bench.core.ranking import Ranking
    from fgvr_bench.core.tallies import Tallies

Statistic: TypeAlias = "Column | str"
"""What is printed and ranked by: a column, or ``mean`` over datasets, or ``micro``."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is said of a board's rows as a whole; the verdict on each stands in its row."""

    compared: bool = False
    """Whether figures have intervals."""
    pairs: int = 0
    """Number of pairs that the main ranking compared."""
    detectable: Mapping[Statistic, float | None] = field(default_factory=dict)
    """The smallest difference that could have been found by each statistic."""


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers of one column's runs, in the order of their rows."""

    questions: str
    """Digest of the questions."""
    rows: array[int]
    tallies: Tallies

    def of(self, rows: array[int]) -> _Answers:
        """Return those of some of the rows."""
        import numpy as np

        own = np.searchsorted(np.asarray(self.rows), np.asarray(rows))
        return _Answers(self.questions, rows, self.tallies.of(own))


def stand(board: BoardStore, averages: bool, index: Index | None) -> Standing:
    """Compare the rows of a board in every column and, where it has them, by their averages; write it into the rows.

    Rows whose main figure is not their share of right answers get no interval and no rank.

    Args:
        board: the rows; controls with blank images get intervals and are not compared.
        averages: whether rows have a mean over datasets and one over all questions (``micro``).
        index: keeps rankings from one time to the next.
    """
    from fgvr_bench.core.tallies import together

    if not board.comparable:
        return Standing()
    columns: list[_Answers] = []
    detectable: dict[Statistic, float | None] = {}
    pairs, compared = 0, False
    for place, column in enumerate(board.columns):
        compared = _judge_controls(board, place) or compared
        seats, rows, runs = board.column(place)
        if not seats:
            continue
        found = _answers(board, rows, runs)
        if averages:
            columns.append(found)
        ranking = _ranked([found.tallies], [found], True, index)
        detectable[column] = ranking.detectable
        board.judge(seats, _intervals(found.tallies), ranking.marks())
        compared = True
        if not averages and len(board.columns) == 1:
            pairs = _rank(board, rows, ranking)
    whole = board.whole()
    if averages and whole:
        columns = [column.of(whole) for column in columns]
        mean = _ranked([column.tallies for column in columns], columns, False, index)
        board.average(0, whole, map(mean_of_datasets, board.whole_figures()), mean.marks())
        pairs = _rank(board, whole, mean)
        alike = together([column.tallies for column in columns])
        micro = _ranked([alike], columns, True, index)
        board.average(1, whole, _micro(alike), micro.marks())
        detectable |= {"mean": mean.detectable, "micro": micro.detectable}
    return Standing(compared, pairs, detectable)


def _judge_controls(board: BoardStore, place: int) -> bool:
    """Give the controls of a column their intervals; say whether there are any."""
    seats, _, runs = board.column(place, blank=True)
    controls = (board.runs[run] for run in runs)
    intervals = (clustered_interval(each.correct, each.questions.clusters) for each in controls)
    board.judge(seats, intervals, [""] * len(seats))
    return bool(seats)


def _answers(board: BoardStore, rows: array[int], runs: array[int]) -> _Answers:
    from fgvr_bench.core.tallies import tally

    questions = board.runs[runs[0]].questions
    return _Answers(questions.digest, rows, tally((board.runs[run].bits for run in runs), questions.clusters))


def _intervals(tallies: Tallies) -> Iterator[Interval]:
    return (interval_of_sums(sums, tallies.sizes) for sums in _sums(tallies))


def _sums(tallies: Tallies) -> Iterator[NDArray[np.float64]]:
    """Yield each run's right answers by class."""
    from fgvr_bench.core.tallies import runs_of

    for runs in runs_of(len(tallies)):
        yield from tallies.counts(runs).astype("f8")


def _micro(tallies: Tallies) -> Iterator[tuple[float, Interval]]:
    """Yield each row's accuracy over all questions together."""
    for sums in _sums(tallies):
        yield float(sums.sum() / tallies.sizes.sum()), interval_of_sums(sums, tallies.sizes)


def _rank(board: BoardStore, rows: array[int], ranking: Ranking) -> int:
    """Give rows their ranks; return how many pairs were compared."""
    import numpy as np

    if len(rows) < 2:
        return 0
    shared = np.bincount(ranking.ranks)[ranking.ranks] > 1
    board.rank(rows, ranking.ranks.tolist(), shared.tolist())
    return len(rows) * (len(rows) - 1) // 2


def _ranked(tallies: Sequence[Tallies], columns: Sequence[_Answers], alike: bool, index: Index | None) -> Ranking:
    """Rank, or recall the ranking of these very answers.

    Args:
        tallies: what is ranked by.
        columns: what that comes from.
        alike: whether the questions of all columns count alike.
        index: keeps the ranking.
    """
    from fgvr_bench.core.ranking import VERSION, Ranking, rank
    from fgvr_bench.core.tallies import runs_of

    if index is None:
        return rank(tallies)
    answers = hashlib.sha256()
    for column in columns:
        answers.update(column.questions.encode())
        for runs in runs_of(len(column.tallies)):
            for bits in column.tallies.bits(runs):
                answers.update(hashlib.sha256(bits).digest())
    key = digest(["ranking", VERSION, SEED, ROUNDS, alike, len(columns), answers.hexdigest()])
    if found := index.recall(key):
        return Ranking.unpacked(found)
    ranking = rank(tallies)
    index.keep(key, ranking.packed())
    return ranking
