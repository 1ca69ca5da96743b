"""Boards: models × datasets, one table for each way of asking.

Runs stand in one column only if they asked the same: dataset and split with equal images, subset, option set,
protocol and task.  Runs of one model that differ in anything else are rows of their own, labelled by what
differs; none is chosen silently.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from fgvr_bench import __version__
from fgvr_bench.core.results import StoredRun

MARKERS = ("<!-- leaderboard:start -->", "<!-- leaderboard:end -->")
"""``leaderboard build --output`` replaces what stands between these lines of a file that has them."""


@dataclass(frozen=True, slots=True)
class Column:
    """What runs have to share to be compared."""

    dataset: str
    split: str
    images: str
    """Digest of the dataset."""
    shown: str
    """Whether models saw the images: ``shown``, or ``blank`` ones in their place."""
    subset: str
    """Name of the subset; empty for all."""
    members: str
    """Digest of the subset's classes or examples."""
    options: str
    """Digest of the option set, or ``none``."""
    miner: str
    protocol: str
    task: str
    permutations: int
    seed: int


@dataclass(frozen=True, slots=True)
class Table:
    """One board: rows of models, columns of datasets, all asked in one way."""

    protocol: str
    task: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, Mapping[Column, StoredRun]], ...]
    """Label and cells of each row, best average first."""


def column_of(run: StoredRun) -> Column:
    """Return the column that a run belongs to."""
    inputs = run.inputs
    options, subset = inputs.get("options") or {}, inputs.get("subset") or {}
    return Column(
        dataset=run.dataset,
        split=str(inputs["dataset"]["split"]),
        images=str(inputs["dataset"]["digest"]),
        shown=str(inputs.get("images", "shown")),
        subset=str(subset.get("name", "")),
        members=str(subset.get("digest", "")),
        options=str(options.get("digest", "none")),
        miner=f"{options['miner']}, k = {options['k']}" if options else "none",
        protocol=str(inputs["protocol"]),
        task=str(inputs["task"]),
        permutations=int(inputs.get("permutations", 1)),
        seed=int(inputs.get("seed", 0)),
    )


def build_tables(runs: Sequence[StoredRun]) -> list[Table]:
    """Sort runs into tables; the same runs give the same tables in whatever order they come."""
    ways: dict[tuple[str, str], list[StoredRun]] = {}
    for run in runs:
        column = column_of(run)
        ways.setdefault((column.protocol, column.task), []).append(run)
    return [_table(protocol, task, members) for (protocol, task), members in sorted(ways.items())]


def _table(protocol: str, task: str, runs: list[StoredRun]) -> Table:
    columns = sorted({column_of(run) for run in runs}, key=lambda each: (each.shown != "shown", astuple(each)))
    labels = _row_labels(runs)
    rows: dict[str, dict[Column, StoredRun]] = {}
    for run in sorted(runs, key=lambda each: each.run_id):
        rows.setdefault(labels[run.run_id, run.dataset], {})[column_of(run)] = run
    ordered = sorted(rows.items(), key=lambda row: (-len(row[1]), -(_mean(row[1]) or 0.0), row[0]))
    return Table(protocol, task, tuple(columns), tuple(ordered))


def _row_labels(runs: Sequence[StoredRun]) -> dict[tuple[str, str], str]:
    """Name each run's row: the model, and what differs where one cell would have several runs."""
    by_model: dict[str, list[StoredRun]] = {}
    for run in runs:
        by_model.setdefault(run.model, []).append(run)
    labels: dict[tuple[str, str], str] = {}
    for model, members in by_model.items():
        cells = [column_of(run) for run in members]
        settings = [_settings(run) for run in members]
        clash = len(set(cells)) < len(cells)
        differing = sorted({key for one in settings for key in one if len({str(s.get(key)) for s in settings}) > 1})
        for run, setting in zip(members, settings, strict=True):
            shown = [f"{key.rpartition('.')[2]} {setting.get(key, 'default')}" for key in differing] if clash else []
            labels[run.run_id, run.dataset] = f"{model} ({', '.join(shown)})" if shown else model
    return labels


def _settings(run: StoredRun) -> dict[str, Any]:
    """Return what may differ between runs of one cell, flat."""
    found: dict[str, Any] = {"batch size": run.batch_size}
    for group in ("model", "decoding"):
        for key, value in run.inputs.get(group, {}).items():
            found[f"{group}.{key}"] = value
    return found


def accuracy(run: StoredRun) -> float | None:
    """Return the figure of the run's main metric."""
    return run.metrics.get("accuracy", next(iter(run.metrics.values())))


def _mean(cells: Mapping[Column, StoredRun]) -> float | None:
    found = [value for run in cells.values() if (value := accuracy(run)) is not None]
    return sum(found) / len(found) if found else None


def to_markdown(tables: Sequence[Table]) -> str:
    """Return the tables as Markdown: accuracy in percent, the number of questions at the head of each column."""
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
            f"{table.task}, protocol {table.protocol}: accuracy in %\n\n{body}\n\n" + "\n".join(caption) + "\n"
        )
    return "\n".join(pieces)


def _plain(text: str) -> str:
    """Return text without what would move a terminal's cursor."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _markdown_table(table: Table) -> str:
    heads, rows, caption = _grid(table)
    lines = [
        f"**{_markdown(table.task)}**, protocol {_markdown(table.protocol)}: accuracy in %",
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
    harmonic = [f"{seen.dataset}<br>harmonic mean" for seen, _ in pairs]
    heads = ["model", *[_head(column, table) for column in table.columns], *harmonic, *(["mean"] if average else [])]
    rows = []
    for label, cells in table.rows:
        figures = [_percent(accuracy(cells[column])) if column in cells else "" for column in table.columns]
        for pair in pairs:
            found = [accuracy(cells[column]) if column in cells else None for column in pair]
            figures.append(_percent(harmonic_mean(*found)))
        mean = _percent(_mean(cells)) if len(cells) == len(table.columns) else ""
        rows.append([label, *figures, *([mean] if average else [])])
    return heads, rows, _caption(table)


def _head(column: Column, table: Table) -> str:
    counts = sorted({cells[column].questions for _, cells in table.rows if column in cells})
    shown = " ".join(filter(None, [column.dataset, column.split if column.split != "test" else "", column.subset]))
    if column.shown != "shown":
        shown += f"<br>{column.shown} images"
    twins = [other for other in table.columns if _asked_of(other) == _asked_of(column)]
    if len(twins) > 1:
        shown += f"<br>{column.miner} {column.options[:6]}"
    return f"{shown}<br>n = {', '.join(f'{count:,}' for count in counts)}"


def _asked_of(column: Column) -> tuple[str, ...]:
    return column.dataset, column.split, column.subset, column.shown


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
            if notes:
                lines.append(f"{label} on {column.dataset}: {', '.join(notes)}.")
    return lines


def to_csv(tables: Sequence[Table]) -> str:
    """Return a row a run, figures as shares of 1 in full precision."""
    out = io.StringIO()
    metrics = sorted(
        {name for table in tables for _, cells in table.rows for run in cells.values() for name in run.metrics}
    )
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["protocol", "task", "model", "dataset", "split", "miner", "options", "questions", "failed", *metrics, "run_id"]
    )
    for table in tables:
        for label, cells in table.rows:
            for column in table.columns:
                if (run := cells.get(column)) is None:
                    continue
                figures = ["" if run.metrics.get(name) is None else repr(run.metrics[name]) for name in metrics]
                texts = [table.protocol, table.task, label, column.dataset, column.split, column.miner, column.options]
                writer.writerow([*map(_inert, texts), run.questions, run.failed, *figures, run.run_id])
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
