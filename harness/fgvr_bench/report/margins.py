"""How clearly the miner's own model saw the truth, from the option set that the questions were made of."""

from __future__ import annotations

from pathlib import Path

from fgvr_bench.core.option_files import OptionSet, iter_options, read_header
from fgvr_bench.core.options import options_folder
from fgvr_bench.core.results import Column
from fgvr_bench.errors import FgvrError
from fgvr_bench.report.reading import Sheet


def margins_for(column: Column, sheet: Sheet) -> list[float | None] | None:
    """Return the truth's margin of each question, or None where the option set is not on this machine.

    A run's responses hold the rank of the truth, not its margin; a report is whole without it.
    """
    path = next((path for path in sorted(options_folder(column.dataset).glob("*.jsonl")) if _is(path, column)), None)
    if path is None:
        return None
    margins = {row.example_id: row.truth_margin for row in iter_options(path)}
    found = [margins.get(row.example_id) for row in sheet.rows]
    return found if any(margin is not None for margin in found) else None


def _is(path: Path, column: Column) -> bool:
    """Say whether a file is the whole option set of the column's digest."""
    try:
        return read_header(path).get("digest") == column.options and OptionSet.load(path).digest == column.options
    except FgvrError:
        return False
