"""Figures that others reported: data with sources, shown beneath what was measured and never ranked with it.

They lie in ``reported/*.jsonl`` of a results folder: a header, then a line a figure::

    {"format": "fgvr-bench/reported", "version": 1, "sources": {"N": "who, where, url"}}
    {"dataset": "pet-37", "model": "X", "percent": "81.28", "source": "N"}

``protocol`` (foci), ``task`` (multiple-choice), ``metric`` (accuracy), ``split`` (test) and ``options`` (published) can
be given on a line where they are others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import check_format, parse_json
from fgvr_bench.core.results import Column
from fgvr_bench.errors import DataInvalid, FgvrError

FORMAT = "fgvr-bench/reported"
SAME_SETS = {"published": ("published", "imported")}
"""Miners of columns that hold the questions of a kind of option set."""


@dataclass(frozen=True, slots=True)
class Reported:
    """One figure that somebody reported."""

    model: str
    dataset: str
    share: float
    key: str
    """Short name of the source."""
    source: str
    """Who reported it, and where."""
    protocol: str = "foci"
    task: str = "multiple-choice"
    metric: str = "accuracy"
    split: str = "test"
    options: str = "published"


def read_reported(folders: Iterable[Path]) -> list[Reported]:
    """Return all reported figures of some results folders.

    Raises:
        FgvrError: there are none, or a file is damaged; names the line.
    """
    folders = list(folders)
    files = sorted(path for folder in folders for path in folder.glob("reported/*.jsonl"))
    if not files:
        where = ", ".join(str(folder / "reported") for folder in folders)
        raise FgvrError(
            f"there are no reported figures: no .jsonl file in {where}.",
            hint="docs/leaderboards.md says how such a file looks.",
        )
    return [claim for path in files for claim in _read(path)]


def _read(path: Path) -> list[Reported]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FgvrError(f"{path} cannot be read: {error}.") from error
    found = []
    sources: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        try:
            value = parse_json(line)
            if number == 1:
                sources = dict(check_format(value, FORMAT, (1,), path)["sources"])
            else:
                found.append(_claim(value, sources))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataInvalid(f"{path}, line {number}: {type(error).__name__}: {error}.") from error
    return found


def _claim(value: Any, sources: dict[str, Any]) -> Reported:
    share = round(float(value["percent"]) / 100, 6)
    if not 0 <= share <= 1:
        raise ValueError(f"{value['percent']} is no percentage")
    others = {name: str(value[name]) for name in ("protocol", "task", "metric", "split", "options") if name in value}
    key = str(value["source"])
    return Reported(str(value["model"]), str(value["dataset"]), share, key, str(sources[key]), **others)


def fits(claim: Reported, column: Column) -> bool:
    """Say whether a figure belongs into a column: protocol, task, dataset, split (all of it) and option set agree."""
    sets = SAME_SETS.get(claim.options, (claim.options,))
    asked = (column.protocol, column.task, column.dataset, column.split, column.subset, column.permutations)
    claimed = (claim.protocol, claim.task, claim.dataset, claim.split, "", 1)
    return asked == claimed and column.shown == "shown" and not column.guide and column.miner.split(",")[0] in sets


def columns_of(claims: Sequence[Reported]) -> set[Column]:
    """Return a column for each dataset of some reported figures, for a board that has no runs."""
    return {
        Column(
            dataset=claim.dataset,
            split=claim.split,
            images="",
            shown="shown",
            subset="",
            members="",
            options="none",
            miner=claim.options,
            protocol=claim.protocol,
            task=claim.task,
            permutations=1,
            seed=0,
        )
        for claim in claims
    }
