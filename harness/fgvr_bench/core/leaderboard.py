"""Boards: models × datasets, one table for each way of asking.

Runs stand in one column only if they asked the same: dataset and split with equal images, subset, option set,
protocol, task, seed and orders.  Runs of one model that differ in anything else are rows of their own, labelled
by what differs; none is chosen silently.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace

from fgvr_bench import __version__
from fgvr_bench.core.board_rows import Row, build_rows
from fgvr_bench.core.results import Column, StoredRun

MARKERS = ("<!-- leaderboard:start -->", "<!-- leaderboard:end -->")
"""``leaderboard build --output`` replaces what stands between these lines of a file that has them."""


@dataclass(frozen=True, slots=True)
class Table:
    """One board: rows of models, columns of datasets, all asked in one way."""

    protocol: str
    task: str
    metric: str
    """The main metric, whose figures the cells show."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    """Label and cells of each row, best average first."""


def build_tables(runs: Sequence[StoredRun]) -> list[Table]:
    """Sort runs into tables; the same runs give the same tables in whatever order they come."""
    ways: dict[tuple[str, str, str], list[StoredRun]] = {}
    once = {run.folder.resolve(): run for run in runs}  # folders that were named twice
    for run in sorted(once.values(), key=lambda each: (each.run_id, str(each.folder))):
        ways.setdefault((run.column.protocol, run.column.task, run.main_metric), []).append(run)
    return [_table(*way, members) for way, members in sorted(ways.items())]


def _table(protocol: str, task: str, metric: str, runs: list[StoredRun]) -> Table:
    columns = sorted({run.column for run in runs}, key=lambda each: (each.shown != "shown", astuple(each)))
    rows = sorted(build_rows(runs), key=lambda row: (-len(row[1]), -(_mean(row[1]) or 0.0), row[0]))
    return Table(protocol, task, metric, tuple(columns), tuple(rows))


def main_figure(run: StoredRun) -> float | None:
    """Return the figure of the run's main metric."""
    return run.metrics[run.main_metric]


def _mean(cells: Mapping[Column, StoredRun]) -> float | None:
    found = [value for run in cells.values() if (value := main_figure(run)) is not None]
    return sum(found) / len(found) if found else None


def to_markdown(tables: Sequence[Table]) -> str:
    """Return the tables as Markdown: the main metric in percent, the number of questions at the head of each column."""
    if not tables:
        return "No complete run yet.\n"
    return "\n".join(_markdown_table(table) for table in tables)


def to_text(tables: Sequence[Table]) -> str:
    """Return the tables as a terminal shows them."""
    from tabulate import tabulate

    if not tables:
        return "No complete run yet.\n"
    pieces = []
    for table in tables:
        heads, rows, caption = _grid(table)
        shown = [[_plain(cell) for cell in row] for row in [[head.replace("<br>", "\n") for head in heads], *rows]]
        body = tabulate(
            shown[1:], headers=shown[0], disable_numparse=True, colalign=("left", *["right"] * (len(heads) - 1))
        )
        pieces.append(
            f"{table.task}, protocol {table.protocol}: {table.metric} in %\n\n{body}\n\n" + "\n".join(caption) + "\n"
        )
    return "\n".join(pieces)


def _plain(text: str) -> str:
    """Return text without what would move a terminal's cursor."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _markdown_table(table: Table) -> str:
    heads, rows, caption = _grid(table)
    lines = [
        f"**{_markdown(table.task)}**, protocol {_markdown(table.protocol)}: {_markdown(table.metric)} in %",
        "",
        "| " + " | ".join("<br>".join(map(_markdown, head.split("<br>"))) for head in heads) + " |",
        "|" + "|".join([":--", *["--:"] * (len(heads) - 1)]) + "|",
        *("| " + " | ".join(map(_markdown, row)) + " |" for row in rows),
    ]
    return "\n".join([*lines, "", "<sub>" + " ".join(map(_markdown, caption)) + "</sub>", ""])


def _grid(table: Table) -> tuple[list[str], list[list[str]], list[str]]:
    """Return heads (lines parted by ``<br>``), rows and caption, as plain text."""
    datasets = {column.dataset for column in table.columns if column.shown == "shown"}
    average = 1 < len(datasets) == len(table.columns)  # a mean over datasets, each asked in one way
    pairs = seen_and_unseen(table.columns)
    harmonic = _harmonic_heads(table, pairs)
    heads = ["model", *[_head(column, table) for column in table.columns], *harmonic, *(["mean"] if average else [])]
    rows = []
    for label, cells in table.rows:
        figures = [_percent(main_figure(cells[column])) if column in cells else "" for column in table.columns]
        for pair in pairs:
            found = [main_figure(cells[column]) if column in cells else None for column in pair]
            figures.append(_percent(harmonic_mean(*found)))
        mean = _percent(_mean(cells)) if len(cells) == len(table.columns) else ""
        rows.append([label, *figures, *([mean] if average else [])])
    return heads, rows, _caption(table)


def _head(column: Column, table: Table) -> str:
    counts = sorted({cells[column].questions for _, cells in table.rows if column in cells})
    lines = [_name(column), *_apart(column, [each for each in table.columns if _name(each) == _name(column)])]
    return "<br>".join([*lines, f"n = {', '.join(f'{count:,}' for count in counts)}"])


def _harmonic_heads(table: Table, pairs: Sequence[tuple[Column, Column]]) -> list[str]:
    seen = [column for column, _ in pairs]
    return [
        "<br>".join(
            [column.dataset, "harmonic mean", *_apart(column, [one for one in seen if one.dataset == column.dataset])]
        )
        for column in seen
    ]


def _name(column: Column) -> str:
    """Return the name of a column: all but what only tells twins apart."""
    split = column.split if column.split != "test" else ""
    name = " ".join(filter(None, [column.dataset, split, column.subset]))
    return name if column.shown == "shown" else f"{name}<br>{column.shown} images"


def _apart(column: Column, twins: Sequence[Column]) -> list[str]:
    """Return what sets a column apart from its twins, the columns of the same name (itself among them)."""
    said = [_particulars(each) for each in twins]
    return [text for place, text in enumerate(_particulars(column)) if len({each[place] for each in said}) > 1]


def _particulars(column: Column) -> tuple[str, ...]:
    return (
        f"split {column.split}",
        f"subset {column.subset or 'none'} {column.members[:8]}".rstrip(),
        f"images {column.images[:8]}",
        f"{column.miner} {column.options[:8]}",
        f"{column.permutations} order{'s' * (column.permutations > 1)}",
        f"seed {column.seed}",
    )


def seen_and_unseen(columns: Sequence[Column]) -> list[tuple[Column, Column]]:
    """Return the pairs of columns that are a dataset's seen and unseen classes, asked in one way."""
    unseen = {replace(column, subset="", members=""): column for column in columns if column.subset == "unseen"}
    seen = [column for column in columns if column.subset == "seen"]
    bare = [(column, replace(column, subset="", members="")) for column in seen]
    return [(column, unseen[way]) for column, way in bare if way in unseen]


def harmonic_mean(seen: float | None, unseen: float | None) -> float | None:
    """Return ``2 s u / (s + u)``, the figure of generalised zero-shot recognition (Xian et al. 2017, equation 3).

    >>> harmonic_mean(0.8, 0.2)
    0.32000000000000006
    """
    if seen is None or unseen is None:
        return None
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def _caption(table: Table) -> list[str]:
    """Say what the columns were asked with, and every failed or unparsed answer."""
    lines = [
        f"{column.dataset}: options {column.miner}"
        + (f" ({column.options[:12]})" if column.options != "none" else "")
        + f", images {column.images[:12]}, seed {column.seed}"
        + (f", {column.permutations} orders a question" if column.permutations > 1 else "")
        + "."
        for column in table.columns
    ]
    lines = list(dict.fromkeys(lines))
    for label, cells in table.rows:
        for column in table.columns:
            if column not in cells:
                continue
            run, unparsed = cells[column], cells[column].metrics.get("unparsed")
            notes = ([f"{run.failed:,} failed"] if run.failed else []) + (
                [f"{_percent(unparsed)} % unparsed"] if unparsed else []
            )
            if run.scored_by != __version__:
                notes.append(f"scored by fgvr-bench {run.scored_by}")
            where = _head(column, table).rpartition("<br>")[0].replace("<br>", ", ")
            if notes:
                lines.append(f"{label} on {where}: {', '.join(notes)}.")
    return lines


def to_csv(tables: Sequence[Table]) -> str:
    """Return a row a run, figures as shares of 1 in full precision; ``failed`` is the number of failed questions."""
    out = io.StringIO()
    runs = [run for table in tables for _, cells in table.rows for run in cells.values()]
    metrics = sorted({name for run in runs for name in run.metrics} - {"failed"})  # the share of that count
    asked = [field.name for field in fields(Column) if field.name not in {"protocol", "task"}]
    writer = csv.writer(out, lineterminator="\n")
    heads = ["protocol", "task", "model", *asked, "main_metric", "questions", "failed", *metrics, "run_id"]
    writer.writerow(map(_inert, heads))
    for table in tables:
        for label, cells in table.rows:
            for column in table.columns:
                if (run := cells.get(column)) is None:
                    continue
                told = [str(getattr(column, name)) for name in asked]
                figures = ["" if run.metrics.get(name) is None else repr(run.metrics[name]) for name in metrics]
                texts = [table.protocol, table.task, label, *told, table.metric]
                writer.writerow([*map(_inert, texts), run.questions, run.failed, *figures, _inert(run.run_id)])
    return out.getvalue()


def between_markers(text: str, board: str) -> str | None:
    """Return `text` with the board between its markers, or None where it has none."""
    start, end = text.find(MARKERS[0]), text.find(MARKERS[1])
    if start < 0 or end < start:
        return None
    return f"{text[: start + len(MARKERS[0])]}\n{board}{text[end:]}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _markdown(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    kept = "".join(char if char.isprintable() else " " for char in text)
    return "".join(f"&#{ord(char)};" if char in "<>&|`*_[]\\" else char for char in kept)


def _inert(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
