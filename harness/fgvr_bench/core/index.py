"""Runs with their correctness bits, checked once and remembered: what boards and comparisons are computed from.

The index is a small database in the cache folder.  It holds, for each run folder, size and times of ``run.json`` and
``responses.jsonl`` as they were when the run was looked through, what ``run.json`` said, a bit an answer, and a digest
of the code that judged it.  Whatever differs is looked through again; a database that is damaged, or of another
version, is made anew.  So it can be deleted at any time and is never believed over the files.

    with Index() as index:
        found = index.read([Path("results")], host())
    for each in found.runs:
        each.run.model, each.correct.mean(), each.questions.clusters
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fgvr_bench import __version__
from fgvr_bench.core.checking import Checked, Questions, check_run
from fgvr_bench.core.files import canonical_json, digest
from fgvr_bench.core.found_runs import IndexedRun, Runs, indexed
from fgvr_bench.core.host import Host
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.results import run_files, stored_run
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.core.scratch import CACHE_KIB, database
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.tasks import find_task
from fgvr_bench.core.twins import settle_twins
from fgvr_bench.errors import FgvrError

VERSION = 1
SETTLED_NS = 2_000_000_000
"""A file changed less than this before it was looked through might change again without its times showing it."""
KEPT = ("complete", "run_id", "model", "dataset", "inputs", "questions", "failed", "metrics", "main_metric")
KEPT_TOO = ("card", "facts", "batch_size", "scored_by", "responses_sha256")
"""What is remembered of a ``run.json``."""
TABLES = """
CREATE TABLE IF NOT EXISTS questions (digest TEXT PRIMARY KEY, clusters BLOB, chance REAL, blind REAL);
CREATE TABLE IF NOT EXISTS runs (
    folder TEXT PRIMARY KEY, stamp TEXT, judge TEXT, content BLOB, questions TEXT, correct BLOB);
CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB);
"""


@dataclass(slots=True)
class Found:
    """What was found below some folders."""

    runs: Runs = field(default_factory=Runs)
    problems: list[str] = field(default_factory=list)
    """A sentence for each run that cannot be used."""
    unfinished: int = 0
    copies: int = 0
    """Runs that came twice, answer for answer; each is taken once."""


class Index:
    """The remembered runs; a context manager.  Where no cache can be written, it remembers nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache_folder() / "runs.sqlite"
        self._known: dict[str, Questions] = {}
        self._base = _opened(self._path)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._base.commit()
        self._base.close()

    def read(self, folders: Sequence[Path], host: Host, progress: Progress = quiet) -> Found:
        """Return all complete runs at or below `folders`, each checked, in the order of their paths.

        Args:
            folders: results folders, or folders of single runs; one named twice counts once.
            host: plugins, for the protocols that judge.
            progress: told of the runs that have to be looked through.

        Raises:
            FgvrError: there is no such folder.
        """
        found = Found()
        runs = found.runs
        for path in (path.parent for folder in folders for path in run_files(folder)):
            if known := self._remembered(path, host):
                runs.put(known)
            else:
                runs.expect(path)
        count, unknown = runs.expected()
        with progress("checking runs", count) if count else contextlib.nullcontext(_nothing) as advance:
            for path in unknown:
                try:
                    if fresh := self._looked_through(path, host):
                        runs.put(fresh)
                    else:
                        found.unfinished += 1
                except FgvrError as error:
                    where = "" if str(path) in error.message else f"{path}: "
                    found.problems.append(f"left out: {where}{error}")
                advance(1)
        _settle(found)
        return found

    def _remembered(self, path: Path, host: Host) -> IndexedRun | None:
        """Return the run of a folder where it is remembered and unchanged."""
        query = "SELECT stamp, judge, content, questions, correct FROM runs WHERE folder = ?"
        try:
            row = self._base.execute(query, (os.path.realpath(path),)).fetchone()
            if row is None or row[0] != _stamp(path):
                return None
            content = json.loads(row[2])
            if row[1] == judge(host, content["inputs"]):
                return indexed(stored_run(path, content), row[4], self._questions(row[3]))
        except (KeyError, TypeError, ValueError, AttributeError, FgvrError, sqlite3.Error):
            pass  # it is looked through again
        return None

    def _questions(self, key: str) -> Questions:
        import numpy as np

        if key not in self._known:
            query = "SELECT clusters, chance, blind FROM questions WHERE digest = ?"
            clusters, chance, blind = self._base.execute(query, (key,)).fetchone()
            self._known[key] = Questions(key, np.frombuffer(clusters, "<i4"), chance, blind)
        return self._known[key]

    def _looked_through(self, path: Path, host: Host) -> IndexedRun | None:
        """Check a run and remember it; None for one that is not complete.

        Raises:
            FgvrError: it is not what it claims to be.
        """
        import numpy as np

        begun, stamp = time.time_ns(), _stamp(path)
        folder = RunFolder(path)
        content = folder.read_run() or {}
        if not content.get("complete"):
            return None
        try:
            stored = stored_run(path, content)
            checked = check_run(host, path, content, self._known)
            kept = canonical_json({name: content[name] for name in (*KEPT, *KEPT_TOO) if name in content}).encode()
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FgvrError(f"{folder.run_file} is damaged ({type(error).__name__}: {error}).") from error
        bits = np.packbits(checked.correct).tobytes()
        if stamp and stamp == _stamp(path) and _newest(path) < begun - SETTLED_NS:
            self._remember(path, stamp, judge(host, content["inputs"]), kept, checked, bits)
        return indexed(stored, bits, checked.questions)

    def _remember(self, path: Path, stamp: str, judged_by: str, kept: bytes, checked: Checked, bits: bytes) -> None:
        asked = checked.questions
        with contextlib.suppress(sqlite3.Error):
            row = (asked.digest, asked.clusters.astype("<i4").tobytes(), asked.chance, asked.blind)
            self._base.execute("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?)", row)
            run = (os.path.realpath(path), stamp, judged_by, kept, asked.digest, bits)
            self._base.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", run)

    def recall(self, key: str) -> bytes | None:
        """Return what was kept under `key`, which has to name all that it follows from; else None."""
        with contextlib.suppress(sqlite3.Error):
            row = self._base.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
            return row[0] if row and isinstance(row[0], bytes) else None
        return None

    def keep(self, key: str, value: bytes) -> None:
        """Keep something under a key."""
        with contextlib.suppress(sqlite3.Error):
            self._base.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, value))


def _settle(found: Found) -> None:
    """Take copies out, and runs of one id that differ with no reason given."""
    for twins in found.runs.of_one_id():
        kept, problem, copies = settle_twins([each.run for each in twins])
        found.copies += copies
        found.problems += [problem] if problem else []
        stay = {run.place: run for run in kept}
        for each in twins:
            if each.run.place not in stay:
                found.runs.drop(each)
            elif stay[each.run.place] is not each.run:
                found.runs.put(replace(each, run=stay[each.run.place]))


def _nothing(n: int) -> None:
    pass


def _opened(path: Path) -> sqlite3.Connection:
    """Open the database, make it anew where it is damaged or of another version, or work without one that lasts."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            base = sqlite3.connect(path, timeout=10)
            (version,) = base.execute("PRAGMA user_version").fetchone()
            if version in {0, VERSION}:
                base.executescript(f"PRAGMA cache_size = -{CACHE_KIB}; {TABLES}PRAGMA user_version = {VERSION};")
                return base
            base.close()
        except sqlite3.OperationalError:  # locked, or no place to write
            break
        except sqlite3.DatabaseError:
            pass
        except OSError:
            break
        with contextlib.suppress(OSError):
            path.unlink()
    return database(TABLES)


def _files(folder: Path) -> Iterator[os.stat_result]:
    yield os.stat(folder / "run.json")
    yield os.stat(folder / "responses.jsonl")


def _stamp(folder: Path) -> str:
    """Return sizes, times and numbers of a run's two files; empty where one cannot be had."""
    try:
        return " ".join(f"{at.st_size} {at.st_mtime_ns} {at.st_ctime_ns} {at.st_ino}" for at in _files(folder))
    except OSError:
        return ""


def _newest(folder: Path) -> int:
    try:
        return max(max(at.st_mtime_ns, at.st_ctime_ns) for at in _files(folder))
    except OSError:
        return time.time_ns()


def judge(host: Host, inputs: Mapping[str, Any]) -> str:
    """Return a digest of what judges a run: version, and the source files beside its task and the metrics.

    Raises:
        FgvrError: no plugin brings that protocol or task.
    """
    task = find_task(host, RunSettings(protocol=inputs["protocol"], task=inputs["task"]))
    return _judge(type(task).__module__, host.protocols.owner(inputs["protocol"]))


@functools.cache
def _judge(module: str, owner: str) -> str:
    places = []
    for name in (module, "fgvr_bench.metrics", "fgvr_bench.core.scoring"):
        source = getattr(sys.modules.get(name) or importlib.import_module(name), "__file__", None)
        if source:
            found = sorted(Path(source).parent.glob("*.py")) if name != "fgvr_bench.core.scoring" else [Path(source)]
            places += [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in found]
    return digest([__version__, owner, module, [list(place) for place in places]])
