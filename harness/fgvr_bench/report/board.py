"""The boards of a report, and what stands at the head of each run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from fgvr_bench import __version__
from fgvr_bench.core.board_rows import Row as BoardRow
from fgvr_bench.core.names import short_count
from fgvr_bench.core.results import Column, StoredRun
from fgvr_bench.report.reading import Answers, Sheet, State, column_key

if TYPE_CHECKING:
    from fgvr_bench.core.statistics import Interval
    from fgvr_bench.report.build import Entry


def board_tables(rows: Sequence[BoardRow], entries: Mapping[Column, Sequence[Entry]]) -> list[dict[str, Any]]:
    """Return the boards, a table for each way of asking, as the page's template takes them."""
    ways: dict[tuple[str, str, str], list[BoardRow]] = {}
    by_run = {id(entry.run): entry for found in entries.values() for entry in found}
    for label, cells in rows:
        kept = {column: run for column, run in cells.items() if id(run) in by_run}
        for run in list(kept.values())[:1]:
            ways.setdefault((run.column.protocol, run.column.task, run.main_metric), []).append((label, kept))
    return [_table(way, members, by_run) for way, members in sorted(ways.items())]


def column_order(column: Column) -> tuple[Any, ...]:
    """Return what columns are sorted by: controls with blank pictures behind all others."""
    return (column.shown != "shown", *astuple(column))


def _table(way: tuple[str, str, str], rows: Sequence[BoardRow], entries: Mapping[int, Entry]) -> dict[str, Any]:
    columns = sorted({column for _, cells in rows for column in cells}, key=column_order)
    made = [_row(label, cells, columns, entries) for label, cells in rows]
    made.sort(key=lambda row: (row["mean"] is None, -(row["mean"] or 0.0), row["label"]))
    protocol, task, metric = way
    return {
        "protocol": protocol,
        "task": task,
        "metric": metric,
        "columns": [{"key": column_key(column), **_head(column, columns, rows)} for column in columns],
        "rows": made,
        "mean": len(columns) > 1 and len({column.dataset for column in columns}) == len(columns),
    }


def _head(column: Column, columns: Sequence[Column], rows: Sequence[BoardRow]) -> dict[str, Any]:
    """Return a column's name, what tells it from columns of that name, and its number of questions."""
    twins = [other for other in columns if other.dataset == column.dataset]
    particulars: dict[str, Callable[[Column], str]] = {
        "split": lambda each: each.split if each.split != "test" else "",
        "subset": lambda each: each.subset,
        "pictures": lambda each: "" if each.shown == "shown" else f"{each.shown} pictures",
        "options": lambda each: f"{each.miner} {each.options[:8]}",
        "seed": lambda each: f"seed {each.seed}",
        "orders": lambda each: f"{each.permutations} orders",
        "images": lambda each: f"images {each.images[:8]}",
    }
    always = ("split", "subset", "pictures")
    said = [
        said
        for name, say in particulars.items()
        if (said := say(column)) and (name in always or len({say(twin) for twin in twins}) > 1)
    ]
    count = max(cells[column].questions for _, cells in rows if column in cells)
    return {"name": column.dataset, "said": said, "count": count, "chance": _chance(column, rows)}


def _chance(column: Column, rows: Sequence[BoardRow]) -> float | None:
    found = [cells[column].metrics.get("chance") for _, cells in rows if column in cells]
    return next((value for value in found if value is not None), None)


def _row(label: str, cells: Mapping[Column, StoredRun], columns: Sequence[Column], entries: Mapping[int, Entry]) -> Any:
    values = [cells[column].metrics[cells[column].main_metric] for column in columns if column in cells]
    figures = [value for value in values if value is not None]
    whole = len(figures) == len(columns)
    return {
        "label": label,
        "about": _about(next(iter(cells.values())).card),
        "mean": sum(figures) / len(figures) if whole else None,
        "cells": [_cell(cells[column], entries) if column in cells else None for column in columns],
    }


def _about(card: Mapping[str, Any]) -> str:
    """Return what a reader should know of a model beside its figures: what it was tuned on, how large it is."""
    exposure, parameters = card.get("exposure"), card.get("parameters")
    size = short_count(parameters) if isinstance(parameters, int) else ""
    parts = [str(exposure) if exposure not in {None, "unknown"} else "", f"{size} parameters" if size else ""]
    return ", ".join(filter(None, parts))


def _cell(run: StoredRun, entries: Mapping[int, Entry]) -> dict[str, Any]:
    entry = entries[id(run)]
    return {
        "key": entry.key,
        "value": run.metrics[run.main_metric],
        "interval": entry.interval,
        "unparsed": run.metrics.get("unparsed"),
        "failed": run.failed,
    }


def run_entry(
    key: str, label: str, run: StoredRun, sheet: Sheet, answers: Answers, interval: Interval | None
) -> dict[str, Any]:
    """Return what stands at the head of a run's page."""
    right = sum(state == State.RIGHT for state in answers.states)
    stored = run.metrics.get("accuracy")
    return {
        "key": key,
        "label": label,
        "column": sheet.key,
        "card": {name: str(value) for name, value in run.card.items() if value is not None},
        "questions": len(answers.states),
        "right": right,
        "differs": stored is not None and abs(stored - right / len(answers.states)) > 1e-9,
        "interval": None if interval is None else [interval.low, interval.high],
        "main": run.main_metric,
        "metrics": dict(run.metrics),
        "inputs": {**run.identity, **run.origin},
        "scored": {"then": run.scored_by, "now": __version__},
    }
