"""Rows of a board: runs share one only where the model, its identity, its decoding and the batches asked for agree.

A row's label is the model's name and what sets the row apart from others of that name.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from fgvr_bench.core.files import canonical_json
from fgvr_bench.core.results import Column, StoredRun

Row = tuple[str, Mapping[Column, StoredRun]]
"""Label and cells."""

LONGEST_VALUE = 40

Key = TypeVar("Key", bound=Hashable)


def build_rows(runs: Sequence[StoredRun]) -> list[Row]:
    """Sort the runs of one board into rows; every run is in exactly one cell, and no two labels are equal."""
    models = _grouped((run.model, run) for run in runs).values()
    rows = [row for members in models for row in rows_of_model(members)]
    counts = Counter(label for label, _ in rows)
    return [(distinct(label, cells) if counts[label] > 1 else label, cells) for label, cells in rows]


def rows_of_model(runs: Sequence[StoredRun]) -> list[Row]:
    """Sort the runs of one model into rows; labels may be equal where what differs was cut from them."""
    rows: list[Row] = []
    differing = _differing([run.identity for run in runs])
    for _, same in sorted(_grouped((canonical_json(dict(run.identity)), run) for run in runs).items()):
        rows += _rows_of_one(runs[0].model, _shown(same[0].identity, differing), same)
    return rows


def distinct(label: str, cells: Mapping[Column, StoredRun]) -> str:
    """Return a label that another row has as well with the id of one of this row's runs."""
    return f"{label} (run {min(run.run_id for run in cells.values())})"


def _rows_of_one(model: str, parts: list[str], runs: list[StoredRun]) -> list[Row]:
    """Return the row of runs that agree in all, and a row for each that shares its cell with another."""
    cells = _grouped((run.column, run) for run in runs)
    common = {column: found[0] for column, found in cells.items() if len(found) == 1}
    rows: list[Row] = [(_label(model, parts), common)] if common else []
    for column, twins in cells.items():
        if len(twins) > 1:
            rows += [(_label(model, parts + own), {column: run}) for own, run in _told_apart(twins)]
    return rows


def _told_apart(twins: list[StoredRun]) -> list[tuple[list[str], StoredRun]]:
    """Say of runs of one cell what they were made from, their ids, and their folders, as far as that is needed."""
    differing = _differing([run.origin for run in twins])
    parts = [_shown(run.origin, differing) for run in twins]
    for more in ([f"run {run.run_id}" for run in twins], [run.place for run in twins]):
        counts = Counter(map(tuple, parts))
        parts = [[*own, one] if counts[tuple(own)] > 1 else own for own, one in zip(parts, more, strict=True)]
    return list(zip(parts, twins, strict=True))


def _differing(trees: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the keys that do not have one value in all trees, sorted."""
    return sorted(key for key in {key for tree in trees for key in tree} if len({tree.get(key) for tree in trees}) > 1)


def _shown(tree: Mapping[str, str], keys: Sequence[str]) -> list[str]:
    """Return ``key value`` of each key, in the words of a label."""
    names = [_key(key) for key in keys]
    return [
        f"{name if names.count(name) == 1 else key} {_value(tree.get(key))}"
        for name, key in zip(names, keys, strict=True)
    ]


def _key(path: str) -> str:
    """Return a short name of a key.

    >>> _key("batch_plan.batch_size"), _key("decoding.name")
    ('batch size', 'decoding')
    """
    group, _, last = path.rpartition(".")
    return (group if last == "name" and group else last).replace("_", " ")


def _value(found: str | None) -> str:
    """Return a value as a label shows it: a digest by its first 8 digits, a long text cut.

    >>> _value('"aed72368fd9a51776baaf370452619ce"'), _value("true"), _value(None)
    ('aed72368', 'true', 'default')
    """
    if found is None:
        return "default"
    value = json.loads(found)
    text = value if isinstance(value, str) else found
    if re.fullmatch(r"[0-9a-f]{16,}", text):
        return text[:8]
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _label(model: str, parts: Sequence[str]) -> str:
    return f"{model} ({', '.join(parts)})" if parts else model


def _grouped(pairs: Iterable[tuple[Key, StoredRun]]) -> dict[Key, list[StoredRun]]:
    groups: dict[Key, list[StoredRun]] = {}
    for key, run in pairs:
        groups.setdefault(key, []).append(run)
    return groups
