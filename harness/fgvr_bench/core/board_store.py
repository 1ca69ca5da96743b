"""The rows of one board on disk: runs sorted into rows, what is found of them, and lines read in their order."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from fgvr_bench.core.board import Block, Figure, Line, Shown
from fgvr_bench.core.board_rows import distinct, rows_of_model
from fgvr_bench.core.results import Column, StoredRun
from fgvr_bench.core.scratch import database, frozen, thawed
from fgvr_bench.core.statistics import Interval

if TYPE_CHECKING:
    from fgvr_bench.core.found_runs import IndexedRun

TABLES = """
CREATE TABLE rows (row INTEGER PRIMARY KEY, label TEXT, distinct_label TEXT, rank INTEGER, shared INTEGER);
CREATE TABLE cells (seat INTEGER PRIMARY KEY, row INTEGER, run INTEGER, place INTEGER, blank INTEGER,
    share REAL, low REAL, high REAL, mark TEXT DEFAULT '');
CREATE TABLE averages (row INTEGER, place INTEGER, share REAL, low REAL, high REAL, mark TEXT);
CREATE INDEX by_place ON cells (blank, place, row);
CREATE TABLE lines (seat INTEGER PRIMARY KEY, block TEXT, rank INTEGER, fewer INTEGER, worse REAL, label TEXT,
    line BLOB, runs BLOB);
"""
UNRANKED = 10**9


class Cell(NamedTuple):
    """A figure of a row."""

    run: int | None
    """Number of the run; None for an average."""
    place: int
    """Number of the column; averages follow the columns."""
    figure: Figure | None


class Row(NamedTuple):
    """A row with what was found of it."""

    label: str
    rank: int | None
    shared: bool
    cells: list[Cell]
    """In the order in which its runs came, then the averages."""


class BoardStore:
    """The rows of one board."""

    def __init__(self, runs: Sequence[IndexedRun], columns: Sequence[Column]) -> None:
        self.runs, self.columns = runs, columns
        self.comparable = True
        """Whether every figure is the share of right answers, which bits can be compared for."""
        self.shown = Shown()
        self._base = database(TABLES)
        self._places = {column: place for place, column in enumerate(columns)}

    def fill(self, models: Iterable[Sequence[int]]) -> None:
        """Sort all runs into rows, given the numbers of each model's runs."""
        for numbers in models:
            self._add_model(numbers)
        self._base.execute(
            "UPDATE rows SET label = distinct_label "
            "WHERE label IN (SELECT label FROM rows GROUP BY label HAVING COUNT(*) > 1)"
        )

    def _add_model(self, numbers: Sequence[int]) -> None:
        found = [self.runs[number] for number in numbers]
        self.comparable = self.comparable and all(map(_is_share, found))
        number_of = {id(each.run): number for each, number in zip(found, numbers, strict=True)}
        for label, cells in rows_of_model([each.run for each in found]):
            names = (label, distinct(label, cells))
            row = self._base.execute("INSERT INTO rows (label, distinct_label) VALUES (?, ?)", names).lastrowid
            self._base.executemany(
                "INSERT INTO cells (row, run, place, blank, share) VALUES (?, ?, ?, ?, ?)",
                (
                    (row, number_of[id(run)], self._places[pictured(column)], is_blank(column), main_figure(run))
                    for column, run in cells.items()
                ),
            )

    def column(self, place: int, blank: bool = False) -> tuple[array[int], array[int], array[int]]:
        """Return the cells of a column in the order of their rows: their numbers, rows and runs."""
        query = "SELECT seat, row, run FROM cells WHERE blank = ? AND place = ? ORDER BY row"
        seats, rows, runs = array("q"), array("q"), array("q")
        for seat, row, run in self._base.execute(query, (blank, place)):
            seats.append(seat)
            rows.append(row)
            runs.append(run)
        return seats, rows, runs

    def whole(self) -> array[int]:
        """Return the rows that have a run in every column."""
        query = "SELECT row FROM cells WHERE NOT blank GROUP BY row HAVING COUNT(*) = ? ORDER BY row"
        return array("q", (row for (row,) in self._base.execute(query, (len(self.columns),))))

    def whole_figures(self) -> Iterator[list[tuple[float, Interval]]]:
        """Yield what these rows have in the columns, their shares and intervals, row by row."""
        for row in self.rows():
            figures = [cell.figure for cell in row.cells if cell.figure and cell.run is not None]
            found = [(figure.share, figure.interval) for figure in figures if figure.interval]
            if len(found) == len(self.columns):
                yield found

    def judge(self, seats: Iterable[int], intervals: Iterable[Interval], marks: Iterable[str]) -> None:
        """Give cells their intervals and marks."""
        rows = ((each.low, each.high, mark, seat) for each, mark, seat in zip(intervals, marks, seats, strict=True))
        self._base.executemany("UPDATE cells SET low = ?, high = ?, mark = ? WHERE seat = ?", rows)

    def average(
        self, number: int, rows: Iterable[int], figures: Iterable[tuple[float, Interval]], marks: Iterable[str]
    ) -> None:
        """Give rows an average, the one of this number."""
        found = zip(rows, figures, marks, strict=True)
        place = len(self.columns) + number
        self._base.executemany(
            "INSERT INTO averages (row, place, share, low, high, mark) VALUES (?, ?, ?, ?, ?, ?)",
            ((row, place, share, limits.low, limits.high, mark) for row, (share, limits), mark in found),
        )

    def rank(self, rows: Iterable[int], ranks: Iterable[int], shared: Iterable[bool]) -> None:
        """Give rows their ranks."""
        found = zip(ranks, shared, rows, strict=True)
        self._base.executemany("UPDATE rows SET rank = ?, shared = ? WHERE row = ?", found)

    def rows(self, blank: bool = False) -> Iterator[Row]:
        """Yield the rows of models, or those of controls with blank images, as they were found."""
        query = """
            SELECT row, label, rank, shared, run, place, share, low, high, mark FROM (
                SELECT row, seat, run, place, share, low, high, mark FROM cells WHERE blank = :blank
                UNION ALL SELECT row, NULL, NULL, place, share, low, high, mark FROM averages WHERE NOT :blank)
            JOIN rows USING (row) ORDER BY row, seat IS NULL, seat, place
        """
        for _, members in groupby(self._base.execute(query, {"blank": blank}), lambda found: found[0]):
            cells = []
            for _, label, rank, shared, run, place, *figure in members:  # noqa: B007 - those of a row are the same
                cells.append(Cell(run, place, _figure(*figure)))
            yield Row(label, rank, bool(shared), cells)

    def add(self, block: str, line: Line, runs: Mapping[Column, int] | None = None, ordered: bool = True) -> None:
        """Add a line that has a figure to a block; where its order is not that of figures, behind the others."""
        if any(line.figures):
            self.shown.note(line)
            order = _order(line) if ordered else (0, 0, 0.0, "")
            kept = frozen(replace(line, cells=None)), frozen(runs)
            query = "INSERT INTO lines (block, rank, fewer, worse, label, line, runs) VALUES (?, ?, ?, ?, ?, ?, ?)"
            self._base.execute(query, (block, *order, *kept))

    def block(self, title: str) -> Block | None:
        """Return the lines of a block; None where it has none."""
        (count,) = self._base.execute("SELECT COUNT(*) FROM lines WHERE block = ?", (title,)).fetchone()
        return Block(title, _Lines(self, title, count)) if count else None

    def lines(self, title: str) -> Iterator[Line]:
        """Yield the lines of a block in their order."""
        query = "SELECT line, runs FROM lines WHERE block = ? ORDER BY rank, fewer, worse, label, seat"
        for line, runs in self._base.execute(query, (title,)):
            numbers = thawed(runs)
            yield replace(thawed(line), cells=None if numbers is None else Cells(self.runs, numbers))


@dataclass(frozen=True, slots=True)
class _Lines(Collection[Line]):
    """The lines of a block, read as often as somebody goes through them."""

    store: BoardStore
    title: str
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Line]:
        return self.store.lines(self.title)

    def __contains__(self, line: object) -> bool:
        return any(each == line for each in self)


@dataclass(frozen=True, slots=True)
class Cells(Mapping[Column, StoredRun]):
    """The runs of a row by column; each is read when it is asked for."""

    runs: Sequence[IndexedRun]
    numbers: Mapping[Column, int]

    def __getitem__(self, column: Column) -> StoredRun:
        return self.runs[self.numbers[column]].run

    def __iter__(self) -> Iterator[Column]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


def main_figure(run: StoredRun) -> float | None:
    """Return the run's main figure."""
    return run.metrics[run.main_metric]


def is_blank(column: Column) -> bool:
    """Say whether models were shown blank images."""
    return column.shown != "shown"


def pictured(column: Column) -> Column:
    """Return the column that a control with blank images stands in."""
    return replace(column, shown="shown")


def _is_share(each: IndexedRun) -> bool:
    figure = main_figure(each.run)
    return figure is not None and each.run.questions > 0 and abs(figure - each.accuracy) < 1e-12


def _figure(share: float | None, low: float | None, high: float | None, mark: str) -> Figure | None:
    if share is None:
        return None
    return Figure(share, None if low is None or high is None else Interval(low, high), mark)


def _order(line: Line) -> tuple[int, int, float, str]:
    """Sort by rank; then rows that have more figures; then by the last figure."""
    figures = [figure.share for figure in line.figures if figure]
    best = figures[0] if len(figures) == 1 else sum(figures) / len(figures)
    return (line.rank or UNRANKED, -len(figures), -best, line.label)
