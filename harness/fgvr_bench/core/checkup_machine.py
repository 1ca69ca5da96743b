"""Memory, and room and rights where things are written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fgvr_bench.core import shared_memory
from fgvr_bench.core.checkup import Finding, gigabytes, good, remark, wrong
from fgvr_bench.core.paths import cache_folder, data_roots

AREA = "machine"
LITTLE_MEMORY = 4e9
LITTLE_ROOM = 5e9
NO_ROOM = 200e6
"""Bytes below which a run of one dataset may not fit."""


def look_at_machine(results: Path) -> Iterator[Finding]:
    """Look at memory and at the folders that are written to.

    Args:
        results: the folder that runs go to.
    """
    memory = available_memory()
    if memory is not None:
        short = memory < LITTLE_MEMORY
        text = f"{gigabytes(memory)} of memory free"
        yield (
            remark(AREA, text, "Ask for fewer processes (--workers 1) and small batches.")
            if short
            else good(AREA, text)
        )
    if shared_memory.is_scarce():
        text = f"{gigabytes(shared_memory.free_bytes() or 0)} of shared memory free ({shared_memory.PLACE})"
        yield remark(AREA, text, "Images are read ahead the slower for it. Give a container more: --shm-size=8g.")
    for what, folder, variable in (
        ("the cache", cache_folder(), "FGVR_CACHE"),
        ("fetched data", data_roots()[0], "FGVR_DATA"),
        ("results", results, "--results-dir"),
    ):
        yield _room(what, folder, variable)
    yield _room("temporary files", Path(tempfile.gettempdir()), "TMPDIR")


def _room(what: str, folder: Path, variable: str) -> Finding:
    """Say whether a folder can be written to, and how much fits; it is not made where it is absent."""
    fix = f"Free some space there, or name another folder with {variable}."
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), Path("/"))
    if not there.is_dir():
        return wrong(AREA, f"{there}, where {what} would be kept, is no folder.", f"Name another with {variable}.")
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x" * 4096)
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        name = f"Mend its permissions, or name another with {variable}."
        return wrong(AREA, f"{what} cannot be written to {folder}: {error.strerror or error}.", name)
    if free < NO_ROOM:
        return wrong(AREA, f"{gigabytes(free)} are free for {what} ({folder}).", fix)
    text = f"{gigabytes(free)} free for {what} ({folder})"
    return remark(AREA, text, fix) if free < LITTLE_ROOM else good(AREA, text)


def available_memory() -> int | None:
    """Return the bytes of memory that can be had, the container's limit included; None where nobody tells."""
    found = [value for value in (_of_machine(), _of_container()) if value is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _of_container() -> int | None:
    pairs = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    for limit, used in pairs:
        try:
            root = Path("/sys/fs/cgroup")
            return max(0, int((root / limit).read_text()) - int((root / used).read_text()))
        except (OSError, ValueError):
            continue
    return None
