"""The ranks above a dataset's labels: those of a file that the user gives, or else those that the dataset knows.

The file is a table without a head, a label a line and after it its ranks, coarse to fine, separated by commas
(quoted as in any CSV file); ``#`` starts a line that is a remark.  Labels may be left out: they have no ranks then.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fgvr_bench.core.annotations import read_lines
from fgvr_bench.core.names import did_you_mean, slug
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.errors import DataInvalid

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset

FILE = "taxonomy.csv"
"""Its name in the dataset's folder."""

Ranks = tuple[str, ...]


def taxonomy_of(dataset: Dataset) -> dict[str, Ranks]:
    """Return the ranks above each label, coarse to fine; labels without any are left out.

    A user's file stands in the place of all that the dataset knows itself.

    Raises:
        DataInvalid: a line of the file is wrong; names file and line.
    """
    for path in places(dataset):
        if path.is_file():
            return read_taxonomy(path, dataset)
    return {label: ranks for label in dataset.labels() if (ranks := tuple(dataset.taxonomy(label)))}


def places(dataset: Dataset) -> list[Path]:
    """Return where a user's file may lie, best first: the dataset's folder, ``FGVR_CACHE/taxonomies``."""
    own = [dataset.root / FILE] if dataset.root is not None else []
    return [*own, cache_folder() / "taxonomies" / f"{slug(dataset.card.name)}.csv"]


def read_taxonomy(path: Path, dataset: Dataset) -> dict[str, Ranks]:
    """Read a user's file.

    Raises:
        DataInvalid: unreadable; a label that the dataset does not have, has no rank here or stands twice; an empty
            rank; or a rank that lies below another one than in an earlier line.
    """
    labels = set(dataset.labels())
    lines: dict[str, str] = {}
    above: dict[str, tuple[Ranks, str]] = {}
    found: dict[str, Ranks] = {}
    for where, (label, *ranks) in _rows(path):
        if label not in labels:
            raise DataInvalid(
                f"{where} names the class {label!r}, which {dataset.card.name} does not have. "
                f"{did_you_mean(label, sorted(labels))}"
            )
        if label in lines:
            raise DataInvalid(f"{where} names the class {label!r}, which {lines[label]} has named already.")
        if not ranks or not all(ranks):
            raise DataInvalid(
                f"{where} gives {label!r} {'an empty rank' if ranks else 'no rank'}.",
                hint="Write: label,coarse rank,finer rank; or leave the line out.",
            )
        for depth, rank in enumerate(ranks):
            higher, earlier = above.setdefault(rank, (tuple(ranks[:depth]), where))
            if higher != tuple(ranks[:depth]):
                raise DataInvalid(
                    f"{where} puts {rank!r} below {_path(ranks[:depth])}, where {earlier} has it below {_path(higher)}."
                )
        lines[label] = where
        found[label] = tuple(ranks)
    return {label: found[label] for label in dataset.labels() if label in found}


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        if line.startswith("#"):
            continue
        try:
            (cells,) = csv.reader([line], strict=True, skipinitialspace=True)
        except csv.Error as error:
            raise DataInvalid(f"{where} is no line of a CSV file: {error}.") from error
        yield where, [cell.strip() for cell in cells]


def _path(ranks: Ranks | list[str]) -> str:
    return " / ".join(map(repr, ranks)) or "nothing"
