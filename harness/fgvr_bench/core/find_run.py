"""Runs by what a user calls them: a folder, an id or how it begins, or ``model@dataset``."""

from __future__ import annotations

from pathlib import Path

from fgvr_bench.core.board_rows import build_rows
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.core.results import StoredRun, read_runs
from fgvr_bench.errors import FgvrError, UsageError

MOST = 6
"""So many runs are offered where a name means several."""
SHORTEST = 4
"""An id may be cut to so many digits."""


def find_run(named: str, results: Path) -> StoredRun:
    """Return the one complete run that goes by a name.

    Args:
        named: as typed: a folder that holds the run, its id, or ``model@dataset``.
        results: where ids and names are looked up.

    Raises:
        UsageError: no run goes by that name, or several do; the message says which.
        FgvrError: the run is damaged, or there is no results folder.
    """
    found = _in_folder(Path(named)) if Path(named).is_dir() else _by_name(named, results)
    if len(found) == 1:
        return found[0]
    several = [
        f"{run.run_id} ({label} on {column.dataset}, {column.task}, seed {column.seed}, pictures {column.shown}"
        f"{', field guide' * bool(column.guide)})"
        for label, cells in build_rows(found)
        for column, run in cells.items()
    ]
    raise UsageError(
        f"{named} may be any of {len(found)} runs: {'; '.join(several[:MOST])}{'; ...' * (len(several) > MOST)}.",
        hint="Name one by its id or its folder.",
    )


def _in_folder(folder: Path) -> list[StoredRun]:
    runs, problems, _ = read_runs(folder)
    itself = [run for run in runs if run.folder.resolve() == folder.resolve()]
    if itself or runs:
        return itself or runs
    if problems:
        raise FgvrError(" ".join(problems))
    raise UsageError(f"{folder} holds no complete run.", hint="Finish it: type its run command again.")


def _by_name(named: str, results: Path) -> list[StoredRun]:
    runs, problems, _ = read_runs(results)
    whole = [run for run in runs if named in {run.run_id, f"{run.model}@{run.dataset}"}]
    whole = [run for run in whole if run.column.shown == "shown"] or whole  # a control goes by its id
    whole = [run for run in whole if not run.column.guide] or whole  # and so does a run that was told more
    begun = [run for run in runs if len(named) >= SHORTEST and run.run_id.startswith(named)]
    if whole or begun:
        return whole or begun
    known = {f"{run.model}@{run.dataset}" for run in runs}
    damaged = f" {len(problems)} damaged runs were not looked at." if problems else ""
    raise UsageError(
        f"there is no run {named!r} in {results}. {did_you_mean(named, known)}{damaged}",
        hint="Name a run by its folder, its id, or as model@dataset.",
    )
