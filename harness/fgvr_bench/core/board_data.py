"""Boards as data: CSV with a row a figure, JSON with everything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

from fgvr_bench.core.board import Figure, Line, Table
from fgvr_bench.core.board_words import caption, figure_heads
from fgvr_bench.core.files import json_pieces
from fgvr_bench.core.results import Column
from fgvr_bench.core.statistics import ALPHA, LEVEL, POWER

FORMAT = "fgvr-bench/leaderboard"
ASKED = [field.name for field in fields(Column) if field.name not in {"protocol", "task"}]
HEADS = [
    "protocol",
    "task",
    "block",
    "model",
    "rank",
    "from",
    "parameters",
    *ASKED,
    "main_metric",
    "figure",
    "low",
    "high",
]


def to_csv(tables: Sequence[Table]) -> Iterator[str]:
    """Yield a row a figure: of a run, of the options alone, of chance, or reported; shares of 1 in full precision.

    ``failed`` is the number of failed questions; the metrics of a run follow by their names.  Averages are left out:
    they are computed from these rows.
    """
    metrics = sorted({name for table in tables for name in table.shown.metrics} - {"failed"})  # the share of that count
    yield _csv_row(map(inert, [*HEADS, "questions", "failed", *metrics, "run_id"]))
    for table in tables:
        for block in table.blocks:
            for line in block.lines:
                yield from map(_csv_row, _rows(table, block.title, line, metrics))


def _csv_row(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _rows(table: Table, title: str, line: Line, metrics: Sequence[str]) -> Iterator[list[str]]:
    told = [table.protocol, table.task, title, line.label]
    known = ["" if value is None else str(value) for value in (line.rank, line.source, line.parameters)]
    for column, figure in zip(table.columns, line.figures, strict=False):
        if figure is None:
            continue
        run = (line.cells or {}).get(column)
        asked = [str(getattr(run.column if run else column, name)) for name in ASKED]
        limits = [figure.interval.low, figure.interval.high] if figure.interval else [None, None]
        numbers = [repr(figure.share), *("" if limit is None else repr(round(limit, 9)) for limit in limits)]
        row = [*map(inert, [*told, *known, *asked, table.metric]), *numbers]
        if run is None:
            yield [*row, "", "", *[""] * len(metrics), ""]
            continue
        figures = ["" if (value := run.metrics.get(name)) is None else repr(value) for name in metrics]
        yield [*row, str(run.questions), str(run.failed), *figures, inert(run.run_id)]


def inert(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula, without control characters."""
    kept = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    return (
        f"'{kept}"
        if kept.lstrip()[:1] in {"=", "+", "-", "@", "＝", "＋", "－", "＠"} or text[:1] in {"\t", "\r"}
        else kept
    )


def to_json(tables: Sequence[Table]) -> Iterator[str]:
    """Yield everything that a board says as JSON; shares of 1 to 6 decimals."""
    content = {
        "format": FORMAT,
        "version": 1,
        "level": LEVEL,
        "alpha": ALPHA,
        "power": POWER,
        "tables": map(_table, tables),
    }
    yield from json_pieces(content, indent=1)
    yield "\n"


def _table(table: Table) -> dict[str, Any]:
    heads = figure_heads(table)
    statistics: list[Any] = [*table.columns, *table.averages]
    return {
        "protocol": table.protocol,
        "task": table.task,
        "metric": table.metric,
        "columns": [
            {
                **asdict(column),
                "head": list(head),
                "classes": table.classes.get(column),
                "chance": _rounded(table.chance.get(column)),
                "options_alone": _rounded(table.blind.get(column)),
            }
            for column, head in zip(table.columns, heads, strict=False)
        ],
        "heads": [" ".join(head) for head in heads],
        "pairs_compared": table.standing.pairs,
        "detectable": {
            each if isinstance(each, str) else " ".join(head): _rounded(table.standing.detectable.get(each))
            for each, head in zip(statistics, [*heads[: len(table.columns)], *table.averages], strict=True)
        },
        "blocks": ({"title": block.title, "rows": map(_line, block.lines)} for block in table.blocks),
        "caption": caption(table),
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "model": line.label,
        "rank": line.rank,
        "rank_shared": line.shared,
        "from": line.source or None,
        "parameters": line.parameters,
        "tokens": _rounded(line.tokens),
        "figures": [_figure(figure) for figure in line.figures],
        "runs": [run.run_id for run in (line.cells or {}).values()],
    }


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    limits = figure.interval
    return {
        "share": _rounded(figure.share),
        "interval": None if limits is None else [_rounded(limits.low), _rounded(limits.high)],
        "mark": figure.mark or None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6) + 0.0
