"""How the models of one board stand to one another: intervals, averages, ranks, and what is level with the best."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

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
    from fgvr_bench.core.index import Index, IndexedRun
    from fgvr_bench.core.ranking import Ranking, Tallies

Entry: TypeAlias = "Mapping[Column, IndexedRun]"
"""The runs of one row."""
Statistic: TypeAlias = "Column | str"
"""What is printed and ranked by: a column, or ``mean`` over datasets, or ``micro``."""


@dataclass(frozen=True, slots=True)
class Place:
    """The rows that one statistic ranks, and how they stand."""

    rows: tuple[int, ...]
    ranking: Ranking


@dataclass(frozen=True)
class Standing:
    """The verdicts on a board's rows, which are numbered as they were given."""

    places: Mapping[Statistic, Place]
    main: Statistic | None
    """What the ranks are by; None where there is more than one column and no average of them."""
    intervals: Mapping[str, Interval]
    """By the place of the run."""
    averages: Mapping[tuple[int, str], tuple[float, Interval]]

    def interval(self, run: IndexedRun) -> Interval | None:
        """Return the interval of a run's figure; None where the figure is no share of right answers."""
        return self.intervals.get(run.run.place)

    def average(self, row: int, name: str) -> tuple[float, Interval] | None:
        """Return a row's ``mean`` or ``micro`` average with its interval; None where a cell is missing."""
        return self.averages.get((row, name))

    def rank(self, row: int) -> int | None:
        """Return a row's rank by the main statistic; None where it is not compared with any."""
        place = self._main_place
        return None if place is None or row not in place.rows else place.ranking.ranks[place.rows.index(row)]

    def shared(self, row: int) -> bool:
        """Say whether another row has this row's rank."""
        place = self._main_place
        return place is not None and Counter(place.ranking.ranks)[self.rank(row) or 0] > 1

    @property
    def _main_place(self) -> Place | None:
        place = self.places.get(self.main) if self.main is not None else None
        return place if place and len(place.rows) > 1 else None

    def mark(self, row: int, statistic: Statistic) -> str:
        """Return ``best``, ``level`` or nothing; nothing where a row stands alone."""
        place = self.places.get(statistic)
        if place is None or len(place.rows) < 2 or row not in place.rows:
            return ""
        number = place.rows.index(row)
        if number in place.ranking.best:
            return "best"
        return "level" if place.ranking.level[number] else ""

    def detectable(self, statistic: Statistic) -> float | None:
        """Return the smallest difference that could have been found by this statistic."""
        place = self.places.get(statistic)
        return place.ranking.detectable if place else None

    @property
    def pairs(self) -> int:
        """Number of pairs that the main ranking compared."""
        place = self._main_place
        return len(place.rows) * (len(place.rows) - 1) // 2 if place else 0


def stand(
    columns: Sequence[Column], rows: Sequence[Entry], controls: Sequence[Entry], averaged: bool, index: Index | None
) -> Standing:
    """Compare the rows of a board in every column and, where it has them, by their averages.

    Rows whose main figure is not their share of right answers get no interval and no rank.

    Args:
        columns: the columns with pictures.
        rows: the runs of each row.
        controls: the runs of rows that get intervals and are not compared.
        averaged: whether the board has averages.
        index: keeps rankings from one time to the next.
    """
    import numpy as np

    if not all(_is_share(each) for row in [*rows, *controls] for each in row.values()):
        return Standing({}, None, {}, {})
    tallies: dict[Column, tuple[tuple[int, ...], Tallies]] = {}
    places: dict[Statistic, Place] = {}
    intervals = {
        each.run.place: clustered_interval(each.correct, each.questions.clusters)
        for row in controls
        for each in row.values()
    }
    whole = tuple(number for number, row in enumerate(rows) if len(row) == len(columns))
    for column in columns:
        members = tuple(number for number, row in enumerate(rows) if column in row)
        if not members:
            continue
        tallied = _tally([rows[number][column] for number in members])
        tallies[column] = members, tallied
        for number, sums in zip(members, tallied.counts, strict=True):
            intervals[rows[number][column].run.place] = interval_of_sums(sums.astype(np.float64), tallied.sizes)
        of_column = [[rows[each][column] for each in members]]
        places[column] = Place(members, _ranked(partial(list, [tallied]), of_column, True, index))
    averages: dict[tuple[int, str], tuple[float, Interval]] = {}
    if averaged and whole:
        runs = [[rows[number][column] for number in whole] for column in columns]
        places_of = [{number: place for place, number in enumerate(tallies[column][0])} for column in columns]
        own = [[numbers[number] for number in whole] for numbers in places_of]

        def kept() -> list[Tallies]:
            return [tallies[column][1].of(places) for column, places in zip(columns, own, strict=True)]

        places["mean"] = Place(whole, _ranked(kept, runs, False, index))
        places["micro"] = Place(whole, _ranked(lambda: [_together(kept())], runs, True, index))
        sizes = np.concatenate([tallies[column][1].sizes for column in columns])
        for place, number in enumerate(whole):
            figures = [(_share(rows[number][column]), intervals[rows[number][column].run.place]) for column in columns]
            averages[number, "mean"] = mean_of_datasets(figures)
            counts = [tallies[column][1].counts[places[place]] for column, places in zip(columns, own, strict=True)]
            sums = np.concatenate(counts).astype(np.float64)
            averages[number, "micro"] = float(sums.sum() / sizes.sum()), interval_of_sums(sums, sizes)
    main: Statistic | None = "mean" if averaged else columns[0] if len(columns) == 1 else None
    return Standing(places, main, intervals, averages)


def _share(each: IndexedRun) -> float:
    return each.run.metrics[each.run.main_metric] or 0.0


def _is_share(each: IndexedRun) -> bool:
    """Say whether a run's main figure is the share of right answers, which bits can be compared for."""
    figure = each.run.metrics[each.run.main_metric]
    return figure is not None and abs(figure - float(each.correct.mean())) < 1e-12


def _tally(runs: Sequence[IndexedRun]) -> Tallies:
    from fgvr_bench.core.ranking import tally

    return tally([each.bits for each in runs], runs[0].questions.clusters)


def _together(columns: Sequence[Tallies]) -> Tallies:
    """Return the tallies of all columns as those of one."""
    import numpy as np

    from fgvr_bench.core.ranking import Tallies

    return Tallies(
        np.concatenate([each.counts for each in columns], axis=1),
        np.concatenate([each.sizes for each in columns]),
        tuple(map(b"".join, zip(*(each.bits for each in columns), strict=True))),
    )


def _ranked(
    columns: Callable[[], Sequence[Tallies]],
    runs: Sequence[Sequence[IndexedRun]],
    together: bool,
    index: Index | None,
) -> Ranking:
    """Rank, or recall the ranking of these very answers.

    Args:
        columns: makes the tallies, where they are needed.
        runs: of each column.
        together: whether the questions of all columns count alike.
        index: keeps the ranking.
    """
    from fgvr_bench.core.ranking import VERSION, Ranking, rank

    if index is None:
        return rank(columns())
    answers = hashlib.sha256()
    for column in runs:
        answers.update(column[0].questions.digest.encode())
        for each in column:
            answers.update(hashlib.sha256(each.bits).digest())
    key = digest(["ranking", VERSION, SEED, ROUNDS, together, len(runs), answers.hexdigest()])
    found = index.recall(key)
    if isinstance(found, dict):
        return Ranking(tuple(found["ranks"]), tuple(found["level"]), tuple(found["best"]), found["detectable"])
    ranking = rank(columns())
    kept = {"ranks": ranking.ranks, "level": ranking.level, "best": ranking.best, "detectable": ranking.detectable}
    index.keep(key, kept)
    return ranking
