"""Runs that go by one id: copies count once, other answers need a reason or are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fgvr_bench.core.results import StoredRun
from fgvr_bench.core.run_folder import RunFolder


def settle_twins(twins: Sequence[StoredRun]) -> tuple[list[StoredRun], str, int]:
    """Return which runs of one id can stand side by side, a sentence where none can, and the number of copies.

    An id digests all that was declared.  Library versions are not declared; they stand in ``machine.json``.  So runs
    of one id may differ in their answers where their versions do, and then say so.  Where nothing says why they
    differ, none of them is believed.
    """
    different = list({run.responses_sha256: run for run in reversed(twins)}.values())[::-1]
    copies = len(twins) - len(different)
    if len(different) == 1:
        return different, "", copies
    if told := _told_apart(different):
        return told, "", copies
    where = ", ".join(run.place for run in different)
    problem = (
        f"left out: {len(different)} runs claim the id {twins[0].run_id} with different answers, and no machine.json "
        f"says that their versions differ: {where}."
    )
    return [], problem, copies


def _told_apart(twins: Sequence[StoredRun]) -> list[StoredRun]:
    """Return the twins with the versions that differ among their origins; none where two have the same."""
    versions = [_versions(run) for run in twins]
    names = sorted({name for each in versions for name in each})
    differing = [name for name in names if len({each.get(name, "") for each in versions}) > 1]
    found = {tuple(each.get(name, "") for name in differing) for each in versions}
    if len(found) < len(twins) or not all(versions):
        return []
    return [
        replace(
            run, origin={**run.origin, **{f"versions.{name}": f'"{each.get(name, "absent")}"' for name in differing}}
        )
        for run, each in zip(twins, versions, strict=True)
    ]


def _versions(run: StoredRun) -> Mapping[str, str]:
    """Return the library versions that a run's executions name; several of one library joined."""
    found: dict[str, list[str]] = {}
    for entry in RunFolder(run.folder).read_executions():
        stated: Any = entry.get("versions") if isinstance(entry, dict) else None
        for name, version in stated.items() if isinstance(stated, dict) else ():
            values = found.setdefault(str(name), [])
            if str(version) not in values:
                values.append(str(version))
    return {name: " and ".join(values).replace('"', "") for name, values in found.items()}
