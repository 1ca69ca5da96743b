"""What a board is made of; its rows are on disk (`core/board_store.py`) and read as often as somebody asks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from fgvr_bench.core.results import Column, StoredRun
from fgvr_bench.core.statistics import Interval

if TYPE_CHECKING:
    from fgvr_bench.core.standing import Standing

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
    """Each run is read when it is asked for."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows under one heading."""

    title: str
    lines: Collection[Line]


@dataclass(slots=True)
class Shown:
    """What has to be known of all rows before the first of them is written."""

    ranked: bool = False
    """Whether any row has a rank."""
    level: bool = False
    """Whether any figure is marked as level with the best."""
    beside: set[str] = field(default_factory=set)
    """Which of ``parameters``, ``tokens`` and ``from`` any row has."""
    questions: dict[Column, set[int]] = field(default_factory=dict)
    """How many questions runs of each column answered."""
    metrics: set[str] = field(default_factory=set)
    """Names of all metrics that any run has."""

    def note(self, line: Line) -> None:
        """Take a row in."""
        self.ranked = self.ranked or line.rank is not None
        self.level = self.level or any(figure and figure.mark == "level" for figure in line.figures)
        told = {"parameters": line.parameters is not None, "tokens": line.tokens is not None, "from": line.source != ""}
        self.beside.update(name for name, there in told.items() if there)
        for column, run in (line.cells or {}).items():
            self.questions.setdefault(column, set()).add(run.questions)
            self.metrics.update(run.metrics)


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
    shown: Shown
    standing: Standing
    blind: Mapping[Column, float]
    """What the options alone give away."""
    chance: Mapping[Column, float]
    classes: Mapping[Column, int]
    """Number of classes that were asked about."""
    sources: tuple[str, ...] = ()
    """Where reported figures are from."""

    @property
    def lines(self) -> Iterator[Line]:
        """All rows, block by block."""
        return chain.from_iterable(block.lines for block in self.blocks)
