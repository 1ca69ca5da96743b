"""Boards: models × datasets, one table for each way of asking.

Runs stand in one column only if they asked the same: dataset and split with equal images, subset, option set,
protocol, task, seed, orders, and the very same questions.  Runs of one model that differ in anything else are rows of
their own, labelled by what differs; none is chosen silently.  Runs with blank images, guessing and the options alone
are a block of their own beneath the models, never ranked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from itertools import groupby
from typing import TYPE_CHECKING

from fgvr_bench.core.board import BLIND, EXPOSURES, REPORTED, Figure, Line, Table
from fgvr_bench.core.board_store import BoardStore, Row, pictured
from fgvr_bench.core.reported import Reported, columns_of, fits
from fgvr_bench.core.results import Column, StoredRun
from fgvr_bench.core.scratch import database, sort_key
from fgvr_bench.core.standing import stand

if TYPE_CHECKING:
    from fgvr_bench.core.checking import Questions
    from fgvr_bench.core.found_runs import IndexedRun
    from fgvr_bench.core.index import Index

Way = tuple[str, str, str]
"""Protocol, task and main metric: what runs of one table share."""


def build_tables(
    runs: Sequence[IndexedRun], index: Index | None = None, reported: Sequence[Reported] = ()
) -> list[Table]:
    """Sort runs into tables; the same runs give the same tables in whatever order they come.

    Args:
        runs: as `Index.read` returns them; they are read one by one, and again while tables are gone through.
        index: keeps rankings from one time to the next; None computes them.
        reported: figures of others, to stand beneath.
    """
    found = _Sorted(runs)
    tables = []
    claims = list(reported)
    for way in sorted(found.asked):
        columns = found.asked[way]
        own = [claim for claim in claims if claim.metric == way[2] and any(fits(claim, each) for each in columns)]
        claims = [claim for claim in claims if claim not in own]
        tables.append(_Maker(way, runs, found, own, index).table())
    for way in sorted({(claim.protocol, claim.task, claim.metric) for claim in claims}):
        own = [claim for claim in claims if (claim.protocol, claim.task, claim.metric) == way]
        tables.append(_Maker(way, runs, found, own, index).table())
    return tables


class _Sorted:
    """The numbers of runs, sorted by what they were asked and by their models."""

    def __init__(self, runs: Sequence[IndexedRun]) -> None:
        self.asked: dict[Way, dict[Column, Questions]] = {}
        """What the runs of each table were asked."""
        self._base = database("CREATE TABLE runs (number INTEGER PRIMARY KEY, way BLOB, place BLOB, model TEXT);")
        for number in range(len(runs)):
            each = runs[number]
            run = each.run
            way = (run.column.protocol, _task(run.column), run.main_metric)
            self.asked.setdefault(way, {})[run.column] = each.questions
            row = (number, sort_key(*way), sort_key(run.run_id, run.place), run.model)
            self._base.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", row)

    def models(self, way: Way) -> Iterator[list[int]]:
        """Yield each model's runs, by id and path; models in the order of their first ones."""
        query = """
            WITH sorted AS (
                SELECT number, model, ROW_NUMBER() OVER (ORDER BY place, number) AS seat FROM runs WHERE way = ?)
            SELECT MIN(seat) OVER (PARTITION BY model) AS first, number FROM sorted ORDER BY first, seat
        """
        for _, members in groupby(self._base.execute(query, (sort_key(*way),)), lambda found: found[0]):
            yield [number for _, number in members]


class _Maker:
    """Puts one table together."""

    def __init__(
        self,
        way: Way,
        runs: Sequence[IndexedRun],
        found: _Sorted,
        claims: Sequence[Reported],
        index: Index | None,
    ) -> None:
        self.way, self.claims = way, claims
        self.asked = {pictured(column): questions for column, questions in found.asked.get(way, {}).items()}
        self.columns = sorted(set(self.asked) or columns_of(claims), key=astuple)
        self.pairs = seen_and_unseen(self.columns)
        averaged = 1 < len({column.dataset for column in self.columns}) == len(self.columns)
        self.averages = ("mean", "micro") if averaged and self.asked else ("mean",) if averaged else ()
        self.store = BoardStore(runs, self.columns)
        self.store.fill(found.models(way))
        self.standing = stand(self.store, averaged, index)

    def table(self) -> Table:
        blind, chance = self._given("blind"), self._given("chance")
        for row in self.store.rows():
            runs = self._runs(row)
            self.store.add(EXPOSURES[_exposure(runs.values())], self._line(row, runs), self._numbers(row))
        if self.asked:
            self.store.add(BLIND, self._bare("options alone (naive Bayes)", blind), ordered=False)
            self.store.add(BLIND, self._bare("chance", chance), ordered=False)
        for row in self.store.rows(blank=True):
            self.store.add(BLIND, self._control(row), self._numbers(row), ordered=False)
        for line in self._reported():
            self.store.add(REPORTED, line)
        blocks = map(self.store.block, (*EXPOSURES.values(), BLIND, REPORTED))
        return Table(
            *self.way,
            columns=tuple(self.columns),
            pairs=tuple(self.pairs),
            averages=self.averages,
            blocks=tuple(block for block in blocks if block is not None),
            shown=self.store.shown,
            standing=self.standing,
            blind=blind,
            chance=chance,
            classes={column: questions.classes for column, questions in self.asked.items()},
            sources=tuple(sorted({f"{claim.key}: {claim.source}" for claim in self.claims})),
        )

    def _numbers(self, row: Row) -> dict[Column, int]:
        """Return the numbers of a row's runs."""
        return {self.columns[cell.place]: cell.run for cell in row.cells if cell.run is not None}

    def _runs(self, row: Row) -> dict[Column, StoredRun]:
        return {column: self.store.runs[number].run for column, number in self._numbers(row).items()}

    def _line(self, row: Row, runs: Mapping[Column, StoredRun]) -> Line:
        figures = {cell.place: cell.figure for cell in row.cells}
        own = [figures.get(place) for place in range(len(self.columns))]
        averages = [figures.get(len(self.columns) + number) for number in range(len(self.averages))]
        return Line(
            label=row.label,
            figures=(*own, *self._harmonic(own), *averages),
            rank=row.rank,
            shared=row.shared,
            parameters=next((run.parameters for run in runs.values()), None),
            tokens=_tokens(list(runs.values())),
            source=_source(runs.values()),
            cells=runs,
        )

    def _harmonic(self, figures: Sequence[Figure | None]) -> list[Figure | None]:
        found: list[Figure | None] = []
        for pair in self.pairs:
            of_pair = (figures[self.columns.index(column)] for column in pair)
            value = harmonic_mean(*(figure.share if figure else None for figure in of_pair))
            found.append(None if value is None else Figure(value))
        return found

    def _control(self, row: Row) -> Line:
        runs = self._runs(row)
        figures = {cell.place: cell.figure for cell in row.cells}
        own = [figures.get(place) for place in range(len(self.columns))]
        shares = [figure.share for figure in own if figure]
        return Line(
            f"{row.label}, blank images",
            (*own, *self._harmonic(own), *self._plain_averages(shares)),
            source=_source(runs.values()),
            cells=runs,
        )

    def _bare(self, label: str, shares: Mapping[Column, float], source: str = "") -> Line:
        figures = [Figure(shares[column]) if column in shares else None for column in self.columns]
        harmonic = [None] * len(self.pairs)
        return Line(label, (*figures, *harmonic, *self._plain_averages(list(shares.values()))), source=source)

    def _plain_averages(self, shares: Sequence[float]) -> list[Figure | None]:
        """Return a mean over datasets of figures that nothing is claimed of, and no micro average."""
        mean = Figure(sum(shares) / len(shares)) if len(shares) == len(self.columns) else None
        return [mean, None][: len(self.averages)]

    def _given(self, name: str) -> dict[Column, float]:
        """Return what the questions of each column say of themselves."""
        found = {column: getattr(self.asked[column], name) for column in self.columns if column in self.asked}
        return {column: value for column, value in found.items() if value is not None}

    def _reported(self) -> list[Line]:
        lines = []
        for model, key in sorted({(claim.model, claim.key) for claim in self.claims}):
            own = [claim for claim in self.claims if (claim.model, claim.key) == (model, key)]
            shares = {column: claim.share for column in self.columns for claim in own if fits(claim, column)}
            lines.append(self._bare(f"{model} [{key}]", shares, "reported"))
        return lines


def _task(column: Column) -> str:
    """Return the task that a table is headed with: with a field guide it is another one."""
    return f"{column.task} with field guide" if column.guide else column.task


def _exposure(runs: Collection[StoredRun]) -> str:
    """Return the exposure of a row's runs; one that saw train splits makes it tuned."""
    kinds = {run.exposure for run in runs}
    return next(kind for kind in ("tuned", "unknown", "zero-shot") if kind in kinds)


def _source(runs: Collection[StoredRun]) -> str:
    return "re-scored" if any(run.imported for run in runs) else "run"


def _tokens(runs: Sequence[StoredRun]) -> float | None:
    counted = [(run.metrics["tokens"], run.questions) for run in runs if run.metrics.get("tokens") is not None]
    total = sum(questions for _, questions in counted)
    return sum((tokens or 0.0) * questions for tokens, questions in counted) / total if total else None


def seen_and_unseen(columns: Sequence[Column]) -> list[tuple[Column, Column]]:
    """Return the pairs of columns that are a dataset's seen and unseen classes, asked in one way."""

    def bare(column: Column) -> Column:
        return replace(column, subset="", members="", question_set="")

    unseen = {bare(column): column for column in columns if column.subset == "unseen"}
    seen = [column for column in columns if column.subset == "seen"]
    return [(column, unseen[bare(column)]) for column in seen if bare(column) in unseen]


def harmonic_mean(seen: float | None, unseen: float | None) -> float | None:
    """Return ``2 s u / (s + u)``, the figure of generalised zero-shot recognition (Xian et al. 2017, CVPR).

    >>> harmonic_mean(0.8, 0.2)
    0.32000000000000006
    """
    if seen is None or unseen is None:
        return None
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
