"""What lies in the caches: option sets and embeddings that are damaged, locks of the dead, leftovers.

Everything in a cache can be made again, and most damage mends itself at the next use; what does not is wrong.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fgvr_bench.core.checkup import Finding, gigabytes, good, remark, wrong
from fgvr_bench.core.files import HALF, parse_json
from fgvr_bench.core.locks import describe_lock, locks_work_in
from fgvr_bench.core.option_files import OptionSet, read_header
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.errors import FgvrError

AREA = "caches"
SECONDS = 0.6
"""So long option sets are read whole; of the others, the first line."""
MOST_FILES = 20_000
"""Files of a folder that are looked at."""
OLD = 3600.0
"""Seconds after which a half-written file has no writer any more."""


def look_at_caches(results: Path) -> Iterator[Finding]:
    """Look at the cache folder, and at the locks of a results folder."""
    cache = cache_folder()
    if not cache.is_dir():
        yield good(AREA, f"{cache} is not there yet; it is made when it is needed")
    else:
        yield good(AREA, f"kept in {cache}")
        yield from _option_sets(cache / "options")
        yield from _embeddings(cache / "embeddings")
        yield from _last_error(cache / "last-error.txt")
    for folder in (cache, results):
        if folder.is_dir():
            yield from _locks(folder)
            yield from _leftovers(folder)


def _option_sets(folder: Path) -> Iterator[Finding]:
    files = sorted(folder.rglob("*.jsonl"))
    ends = time.monotonic() + SECONDS
    glanced = 0
    for path in files:
        try:
            if time.monotonic() < ends:
                OptionSet.load(path)
            else:
                glanced += 1
                read_header(path)
        except (FgvrError, OSError) as error:
            message = error.message if isinstance(error, FgvrError) else str(error)
            yield wrong(AREA, f"a damaged option set: {message}", f"rm {path} (it is mined again when it is needed)")
    if files:
        rest = f"; of {glanced} only the first line was read (fgvr-bench options verify FILE)" if glanced else ""
        yield good(AREA, f"{len(files)} option sets{rest}")


def _embeddings(folder: Path) -> Iterator[Finding]:
    files = sorted(folder.glob("*.f32"))
    for path in files:
        try:
            notes = parse_json(path.with_suffix(".json").read_bytes())
            row, complete = int(notes["dimensions"]) * 4, bool(notes["complete"])
        except FileNotFoundError:
            row, complete = 1, False
        except (OSError, ValueError, KeyError, TypeError):
            row, complete = 0, False
        if row <= 0 or (complete and path.stat().st_size % row):
            fix = f"rm {path} {path.with_suffix('.json')}"
            yield wrong(AREA, f"damaged embeddings: {path}.", f"{fix} (they are computed again when needed)")
        elif not complete:
            yield remark(AREA, f"embeddings that were not finished: {path.name}; the next mining goes on with them")
    if files:
        size = sum(path.stat().st_size for path in files)
        yield good(AREA, f"{len(files)} files of embeddings, {gigabytes(size)}")


def _last_error(log: Path) -> Iterator[Finding]:
    if log.is_file():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(log.stat().st_mtime))
        lines = log.read_text(errors="replace").strip().splitlines()
        last = f" ({lines[-1][:120]})" if lines else ""
        yield remark(AREA, f"the last unexpected error was on {when}{last}", f"Report it with {log}, or delete that.")


def _locks(folder: Path) -> Iterator[Finding]:
    if reason := locks_work_in(folder):
        yield wrong(AREA, f"locks do not work in {folder}: {reason}.", "Let one process at a time work there.")
    for path in _below(folder, (".lock",)):
        described = describe_lock(path)
        if described is None:
            continue
        holder, is_dead = described
        if is_dead:
            yield remark(AREA, f"{path} is a lock of {holder}, which is dead; whoever needs it takes it over")
        else:
            yield remark(AREA, f"{path} is held by {holder}")


def _leftovers(folder: Path) -> Iterator[Finding]:
    now = time.time()
    old = []
    for path in _below(folder, (HALF,)):
        try:
            status = path.stat()
        except OSError:
            continue
        if path.name.startswith(".") and now - status.st_mtime > OLD:
            old.append((path, status.st_size))
    if old:
        size = gigabytes(sum(size for _, size in old))
        fix = f'find "{folder}" -name ".*{HALF}" -mmin +60 -delete'
        yield remark(AREA, f"{len(old)} half-written files of killed processes in {folder}, {size}", fix)


def _below(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below a folder whose names end so; links are not followed."""
    names = (
        os.path.join(place, name) for place, _, names in os.walk(folder, onerror=lambda error: None) for name in names
    )
    for name in itertools.islice(names, MOST_FILES):
        if name.endswith(endings):
            yield Path(name)
