"""Boards: models × datasets, one table for each way of asking.

Runs stand in one column only if they asked the same: dataset and split with equal images, subset, option set,
protocol, task, seed, orders, and the very same questions.  Runs of one model that differ in anything else are rows of
their own, labelled by what differs; none is chosen silently.  Runs with blank images, guessing and the options alone
are a block of their own beneath the models, never ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from fgvr_bench.core.board_rows import build_rows
from fgvr_bench.core.reported import Reported, columns_of, fits
from fgvr_bench.core.results import Column, StoredRun
from fgvr_bench.core.standing import Entry, Standing, stand
from fgvr_bench.core.statistics import Interval

if TYPE_CHECKING:
    from fgvr_bench.core.index import Index, IndexedRun

EXPOSURES = {
    "zero-shot": "zero-shot",
    "tuned": "tuned on train splits of these datasets",
    "unknown": "not known what it was trained on",
}
"""Blocks of models, in the order in which they stand."""
BLIND = "without a picture"
REPORTED = "reported by others, not run here, not ranked"
LEAKING = 0.05
"""An option set that gives away this much more than chance is warned of, where tuned models meet it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What stands in a cell."""

    share: float
    """Of 1."""
    interval: Interval | None = None
    mark: str = ""
    """``best``, or ``level`` where it is not significantly worse than the best; empty where nothing is claimed."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a board."""

    label: str
    figures: tuple[Figure | None, ...]
    """One a column, then the harmonic means, then the averages."""
    rank: int | None = None
    shared: bool = False
    """Whether another model has this rank."""
    parameters: int | None = None
    tokens: float | None = None
    """Generated tokens an answer."""
    source: str = ""
    """``run``, ``re-scored`` (others asked, scored here), ``reported`` (a figure alone), or empty."""
    cells: Mapping[Column, StoredRun] | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under one heading."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """One board, all asked in one way."""

    protocol: str
    task: str
    metric: str
    """The main metric, whose figures the cells show."""
    columns: tuple[Column, ...]
    pairs: tuple[tuple[Column, Column], ...]
    """Columns of seen and of unseen classes that have a harmonic mean."""
    averages: tuple[str, ...]
    """Heads of the averages: ``mean`` over datasets and ``micro``, all questions alike; none for one dataset."""
    blocks: tuple[Block, ...]
    standing: Standing
    blind: Mapping[Column, float]
    """What the options alone give away."""
    chance: Mapping[Column, float]
    classes: Mapping[Column, int]
    """Number of classes that were asked about."""
    sources: tuple[str, ...] = ()
    """Where reported figures are from."""

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """All rows, block by block."""
        return tuple(line for block in self.blocks for line in block.lines)


def build_tables(
    runs: Sequence[IndexedRun], index: Index | None = None, reported: Sequence[Reported] = ()
) -> list[Table]:
    """Sort runs into tables; the same runs give the same tables in whatever order they come.

    Args:
        runs: as `Index.read` returns them.
        index: keeps rankings from one time to the next; None computes them.
        reported: figures of others, to stand beneath.
    """
    ways: dict[tuple[str, str, str], list[IndexedRun]] = {}
    for each in sorted(runs, key=lambda each: (each.run.run_id, each.run.place)):
        way = (each.run.column.protocol, _task(each.run.column), each.run.main_metric)
        ways.setdefault(way, []).append(each)
    tables = []
    claims = list(reported)
    for way, members in sorted(ways.items()):
        columns = {each.run.column for each in members}
        own = [claim for claim in claims if claim.metric == way[2] and any(fits(claim, each) for each in columns)]
        claims = [claim for claim in claims if claim not in own]
        tables.append(_Maker(way, members, own, index).table())
    for way in sorted({(claim.protocol, claim.task, claim.metric) for claim in claims}):
        own = [claim for claim in claims if (claim.protocol, claim.task, claim.metric) == way]
        tables.append(_Maker(way, [], own, index).table())
    return tables


class _Maker:
    """Puts one table together."""

    def __init__(
        self, way: tuple[str, str, str], runs: Sequence[IndexedRun], claims: Sequence[Reported], index: Index | None
    ) -> None:
        self.way, self.claims = way, claims
        self.of = {each.run.place: each for each in runs}
        columns = {_pictured(each.run.column) for each in runs} or columns_of(claims)
        self.columns = sorted(columns, key=astuple)
        self.pairs = seen_and_unseen(self.columns)
        self.averaged = 1 < len({column.dataset for column in self.columns}) == len(self.columns)
        rows = build_rows([each.run for each in runs])
        self.models = [(label, found) for label, cells in rows if (found := _only(cells, "shown"))]
        self.controls = [(label, found) for label, cells in rows if (found := _only(cells, "blank"))]
        models, controls = ([self._entry(cells) for _, cells in found] for found in (self.models, self.controls))
        self.standing = stand(self.columns, models, controls, self.averaged, index)

    def table(self) -> Table:
        blind, chance = self._given("blind"), self._given("chance")
        models = [(_exposure(cells), self._line(place)) for place, (_, cells) in enumerate(self.models)]
        found = {title: [line for kind, line in models if kind == name] for name, title in EXPOSURES.items()}
        found = {title: sorted(lines, key=_order) for title, lines in found.items()}
        found[BLIND] = [
            self._bare("options alone (naive Bayes)", blind),
            self._bare("chance", chance),
            *(self._control(f"{label}, blank images", cells) for label, cells in self.controls),
        ]
        found[REPORTED] = self._reported()
        if not models and not self.controls:
            found[BLIND] = []
        blocks = {title: tuple(line for line in lines if any(line.figures)) for title, lines in found.items()}
        return Table(
            *self.way,
            columns=tuple(self.columns),
            pairs=tuple(self.pairs),
            averages=self._average_names(),
            blocks=tuple(Block(title, lines) for title, lines in blocks.items() if lines),
            standing=self.standing,
            blind=blind,
            chance=chance,
            classes={_pictured(each.run.column): each.questions.classes for each in self.of.values()},
            sources=tuple(sorted({f"{claim.key}: {claim.source}" for claim in self.claims})),
        )

    def _average_names(self) -> tuple[str, ...]:
        if not self.averaged:
            return ()
        return ("mean", "micro") if self.of else ("mean",)

    def _entry(self, cells: Mapping[Column, StoredRun]) -> Entry:
        return {column: self.of[run.place] for column, run in cells.items()}

    def _line(self, place: int) -> Line:
        label, cells = self.models[place]
        rank = self.standing.rank(place)
        return Line(
            label=label,
            figures=(*self._cells(cells, place), *self._harmonic(cells), *self._averages(place)),
            rank=rank,
            shared=rank is not None and self.standing.shared(place),
            parameters=next((run.parameters for run in cells.values()), None),
            tokens=_tokens(list(cells.values())),
            source="re-scored" if any(run.imported for run in cells.values()) else "run",
            cells=cells,
        )

    def _cells(self, cells: Mapping[Column, StoredRun], place: int | None) -> list[Figure | None]:
        found: list[Figure | None] = []
        for column in self.columns:
            run = cells.get(column)
            share = None if run is None else main_figure(run)
            if run is None or share is None:
                found.append(None)
                continue
            interval = self.standing.interval(self.of[run.place])
            mark = "" if place is None else self.standing.mark(place, column)
            found.append(Figure(share, interval, mark))
        return found

    def _averages(self, place: int) -> list[Figure | None]:
        made: list[Figure | None] = []
        for name in self._average_names():
            found = self.standing.average(place, name)
            made.append(None if found is None else Figure(*found, self.standing.mark(place, name)))
        return made

    def _harmonic(self, cells: Mapping[Column, StoredRun]) -> list[Figure | None]:
        found: list[Figure | None] = []
        for pair in self.pairs:
            shares = [main_figure(cells[column]) if column in cells else None for column in pair]
            value = harmonic_mean(*shares)
            found.append(None if value is None else Figure(value))
        return found

    def _control(self, label: str, cells: Mapping[Column, StoredRun]) -> Line:
        figures = self._cells(cells, None)
        shares = [figure.share for figure in figures if figure]
        source = "re-scored" if any(run.imported for run in cells.values()) else "run"
        return Line(
            label, (*figures, *self._harmonic(cells), *self._plain_averages(shares)), source=source, cells=cells
        )

    def _bare(self, label: str, shares: Mapping[Column, float], source: str = "") -> Line:
        figures = [Figure(shares[column]) if column in shares else None for column in self.columns]
        harmonic = [None] * len(self.pairs)
        return Line(label, (*figures, *harmonic, *self._plain_averages(list(shares.values()))), source=source)

    def _plain_averages(self, shares: Sequence[float]) -> list[Figure | None]:
        """Return a mean over datasets of figures that nothing is claimed of, and no micro average."""
        mean = Figure(sum(shares) / len(shares)) if len(shares) == len(self.columns) else None
        return [mean, None][: len(self._average_names())]

    def _given(self, name: str) -> dict[Column, float]:
        """Return what the questions of each column say of themselves."""
        asked = {_pictured(each.run.column): each.questions for each in self.of.values()}
        found = {column: getattr(asked[column], name) for column in self.columns if column in asked}
        return {column: value for column, value in found.items() if value is not None}

    def _reported(self) -> list[Line]:
        lines = []
        for model, key in sorted({(claim.model, claim.key) for claim in self.claims}):
            own = [claim for claim in self.claims if (claim.model, claim.key) == (model, key)]
            shares = {column: claim.share for column in self.columns for claim in own if fits(claim, column)}
            lines.append(self._bare(f"{model} [{key}]", shares, "reported"))
        return sorted(lines, key=_order)


def main_figure(run: StoredRun) -> float | None:
    """Return the run's main figure."""
    return run.metrics[run.main_metric]


def _task(column: Column) -> str:
    """Return the task that a table is headed with: with a field guide it is another one."""
    return f"{column.task} with field guide" if column.guide else column.task


def _pictured(column: Column) -> Column:
    """Return the column that a control with blank images stands in."""
    return replace(column, shown="shown")


def _only(cells: Mapping[Column, StoredRun], shown: str) -> dict[Column, StoredRun]:
    return {_pictured(column): run for column, run in cells.items() if (column.shown == "shown") == (shown == "shown")}


def _exposure(cells: Mapping[Column, StoredRun]) -> str:
    """Return the exposure of a row's runs; one that saw train splits makes it tuned."""
    kinds = {run.exposure for run in cells.values()}
    return next(kind for kind in ("tuned", "unknown", "zero-shot") if kind in kinds)


def _tokens(runs: Sequence[StoredRun]) -> float | None:
    counted = [(run.metrics["tokens"], run.questions) for run in runs if run.metrics.get("tokens") is not None]
    total = sum(questions for _, questions in counted)
    return sum((tokens or 0.0) * questions for tokens, questions in counted) / total if total else None


def _order(line: Line) -> tuple[int, int, float, str]:
    """Sort by rank; then rows that have more figures; then by the last figure."""
    figures = [figure.share for figure in line.figures if figure]
    best = figures[0] if len(figures) == 1 else sum(figures) / len(figures)
    return (line.rank or 10**9, -len(figures), -best, line.label)


def seen_and_unseen(columns: Sequence[Column]) -> list[tuple[Column, Column]]:
    """Return the pairs of columns that are a dataset's seen and unseen classes, asked in one way."""

    def bare(column: Column) -> Column:
        return replace(column, subset="", members="", question_set="")

    unseen = {bare(column): column for column in columns if column.subset == "unseen"}
    seen = [column for column in columns if column.subset == "seen"]
    return [(column, unseen[bare(column)]) for column in seen if bare(column) in unseen]


def harmonic_mean(seen: float | None, unseen: float | None) -> float | None:
    """Return ``2 s u / (s + u)``, the figure of generalised zero-shot recognition (Xian et al. 2017, equation 3).

    >>> harmonic_mean(0.8, 0.2)
    0.32000000000000006
    """
    if seen is None or unseen is None:
        return None
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
