"""The boards of a report: those of ``leaderboard build``, with each figure a link to its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Any

from fgvr_bench import __version__
from fgvr_bench.core.board_words import lay_out, percent, rank
from fgvr_bench.core.results import Column, StoredRun
from fgvr_bench.core.scratch import Kept, Pile
from fgvr_bench.report.reading import Answers, Sheet, State

if TYPE_CHECKING:
    from fgvr_bench.core.board import Figure, Line, Table
    from fgvr_bench.core.statistics import Interval


@dataclass(frozen=True, slots=True)
class Named:
    """A run with the name that it has in this report."""

    run: StoredRun
    key: str
    """Its id, in links and files."""
    label: str
    """That of its row on the board."""


def named_runs(tables: Sequence[Table]) -> dict[Column, Pile[Named]]:
    """Return the runs of each column, in the order of the boards; controls with blank pictures stand behind."""
    times = Kept[int]()
    found: dict[Column, Pile[Named]] = {}
    for table in tables:
        for line in table.lines:
            for column, run in (line.cells or {}).items():
                key = _file_safe(run.run_id)
                time = (times.get(key) or 0) + 1
                times[key] = time
                named = Named(run, key if time == 1 else f"{key}-{time}", line.label)
                found.setdefault(column, Pile()).add(named)
    return found


def _file_safe(run_id: str) -> str:
    """Return a run's id as part of a path, whatever a file from elsewhere says that it is."""
    kept = "".join(char for char in run_id if char.isascii() and (char.isalnum() or char == "-"))
    return kept[:40] or "run"


def board_of(table: Table, keys: Kept[str]) -> dict[str, Any]:
    """Return a board as the page's template takes it; its rows come one by one, once.

    ``keys``: of the runs that stand in the report, by their folders; others have no link.
    """
    grid = lay_out(table)
    return {
        "title": grid.title,
        "heads": [
            {"lines": head, "kind": kind} for head, kind in zip(grid.heads, _kinds(grid.heads, grid), strict=True)
        ],
        "caption": grid.caption,
        "blocks": (
            {"title": title, "rows": starmap(partial(_row, table, grid.ranked, keys), rows)}
            for title, rows in grid.blocks
        ),
    }


def _kinds(heads: Sequence[Any], grid: Any) -> list[str]:
    """Say of each column what it is sorted as: text, number, or not at all."""
    figures = len(heads) - 1 - grid.ranked - len(grid.beside)
    return ["text", *(["number"] if grid.ranked else []), *["number"] * figures, *[""] * len(grid.beside)]


def _row(table: Table, ranked: bool, keys: Kept[str], line: Line, beside: Sequence[str]) -> dict[str, Any]:
    cells = []
    for place, figure in enumerate(line.figures):
        column = table.columns[place] if place < len(table.columns) else None
        run = (line.cells or {}).get(column) if column is not None else None
        chance = table.chance.get(column) if column is not None else None
        cells.append(_cell(figure, None if run is None else keys.get(run.place), chance))
    return {
        "label": line.label,
        "ranked": ranked,
        "rank": rank(line),
        "order": line.rank,
        "cells": cells,
        "beside": beside,
    }


def _cell(figure: Figure | None, key: str | None, chance: float | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {
        "share": figure.share,
        "text": percent(figure.share),
        "interval": figure.interval,
        "mark": figure.mark,
        "key": key,
        "chance": chance,
    }


def run_entry(named: Named, sheet: Sheet, answers: Answers, interval: Interval | None) -> dict[str, Any]:
    """Return what stands at the head of a run's page."""
    run = named.run
    right = sum(state == State.RIGHT for state in answers.states)
    return {
        "key": named.key,
        "label": named.label,
        "column": sheet.key,
        "blank": run.column.shown != "shown",
        "card": {name: str(value) for name, value in run.card.items() if value is not None},
        "questions": len(answers.states),
        "right": right,
        "interval": None if interval is None else [interval.low, interval.high],
        "main": run.main_metric,
        "metrics": dict(run.metrics),
        "inputs": {**run.identity, **run.origin},
        "scored": {"then": run.scored_by, "now": __version__},
    }
