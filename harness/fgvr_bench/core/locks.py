"""A lock between processes that survives dead holders and file systems without working locks.

The lock is a file that only one process can create (a link, or ``O_EXCL``).  It names host, process and what is being
done; its modification time beats while the holder lives.  A lock is broken where its process is known to be dead on
this host, or, where that cannot be known, when nobody has seen it beat for `STALE_SECONDS`.  That span is measured by
the clock of the one who waits, so that hosts may disagree about the time, and only while it looks: both may have been
stopped (Ctrl-Z), and a file system that hangs keeps both waiting.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fgvr_bench.core.files import HALF, advice, parse_json, tidy
from fgvr_bench.errors import FgvrError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
POLL_SECONDS = 0.1
LONGEST_LOOK = 1.0
"""Seconds between two looks at a lock that count at most."""


@contextlib.contextmanager
def lock(
    path: Path,
    description: str,
    *,
    timeout: float | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; wait for whoever holds it.

    Args:
        path: the lock file; its folder is made.
        description: what the holder does, shown to those who wait ("mining options of bird-200").
        timeout: give up after so many seconds; None waits as long as the holder lives, 0 does not wait.
        waiting: called once with a sentence when there is need to wait; by default a logged warning.

    Raises:
        FgvrError: the lock cannot be written, or was not free within `timeout`.
    """
    mine = json.dumps(
        {
            "host": _host(),
            "pid": os.getpid(),
            "started": _process_start(os.getpid()),
            "token": secrets.token_hex(8),
            "description": description,
        }
    )
    _acquire(path, mine, timeout, waiting or logging.getLogger(__name__).warning)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, mine, stop), name="lock heartbeat", daemon=True)
    beat.start()
    owner = os.getpid()
    try:
        yield
    finally:
        stop.set()
        if os.getpid() == owner:  # a forked child leaves its parent's lock alone
            beat.join()
            if _read(path) == mine:
                with contextlib.suppress(OSError):
                    path.unlink()


def _acquire(path: Path, mine: str, timeout: float | None, waiting: Callable[[str], None]) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    watch, guard = _Watch(path), _Watch(path.with_name(f".{path.name}.breaking{HALF}"))
    told = False
    while not _create(path, mine):
        if watch.is_stale() and _break(path, watch.content, guard, mine):
            continue
        holder = _holder(watch.content)
        if deadline is not None and time.monotonic() >= deadline:
            raise FgvrError(
                f"{path} is held by {holder}.",
                hint="Wait for it to end, or delete the file if no such process runs.",
            )
        if not told:
            waiting(f"waiting for {holder} (lock {path})")
            told = True
        time.sleep(POLL_SECONDS)


def _create(path: Path, content: str) -> bool:
    half = path.with_name(f".{path.name}.{secrets.token_hex(8)}{HALF}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tidy(path.parent)
        if path.exists():
            return False
        try:
            _write_new(half, content)
            _link(half, path, content)
        except FileExistsError:
            return False
        finally:
            half.unlink(missing_ok=True)
    except OSError as error:
        raise FgvrError(
            f"cannot write to {path.parent}: {error.strerror or error} (a lock is made there).",
            hint=advice(error, "another folder (--results-dir, FGVR_CACHE)"),
        ) from error
    return _read(path) == content  # a file system that let two create it kept one of the two


def _link(half: Path, path: Path, content: str) -> None:
    """Show a written file as the lock: one without a holder's name would hold the others up for a minute."""
    try:
        os.link(half, path)
    except FileExistsError:
        raise
    except (OSError, AttributeError):  # this file system knows no links
        _write_new(path, content)


def _write_new(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise


@dataclass(slots=True)
class _Watch:
    """What one who waits has seen of a lock file so far."""

    path: Path
    content: str | None = None
    _beat: int = -1
    _silent: float = 0.0
    _looked: float = 0.0

    def is_stale(self) -> bool:
        """Look again; say whether the holder is dead, as far as can be told."""
        self.content = _read(self.path)
        try:
            beat = self.path.stat().st_mtime_ns
        except OSError:
            beat = 0
        now = time.monotonic()
        self._silent = 0.0 if beat != self._beat else self._silent + min(LONGEST_LOOK, now - self._looked)
        self._beat, self._looked = beat, now
        lives = _lives(self.content)
        return beat != 0 and self._silent > STALE_SECONDS if lives is None else not lives


def _break(path: Path, stale: str | None, guard: _Watch, mine: str) -> bool:
    """Remove a stale lock; of several who try, one gets to, so that none removes its successor.

    Returns:
        Whether another try is worth while.
    """
    try:
        made = _create(guard.path, mine)
    except FgvrError:
        made = False
    if not made:
        with contextlib.suppress(OSError):
            if guard.is_stale():
                guard.path.unlink()  # its maker died within this function
                return True
        return False
    done = False
    with contextlib.suppress(OSError):
        if _read(path) == stale:
            path.unlink()
        done = True
    with contextlib.suppress(OSError):
        guard.path.unlink()
    return done


def _beat(path: Path, mine: str, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        with contextlib.suppress(OSError):
            if _read(path) == mine:
                os.utime(path)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _fields(content: str | None) -> dict[str, object]:
    try:
        fields = parse_json(content or "")
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _holder(content: str | None) -> str:
    fields = _fields(content)
    if not fields:
        return "another process"
    machine = str(fields.get("host", "")).partition(" ")[0]
    return f"process {fields.get('pid')} on {machine}, which is {fields.get('description')}"


def _lives(content: str | None) -> bool | None:
    """Say whether the holder is a process of this host that is still there; None where that cannot be told."""
    fields = _fields(content)
    pid = fields.get("pid")
    if fields.get("host") != _host() or not isinstance(pid, int) or os.name != "posix":
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return None
    if (started := _process_start(pid)) != fields.get("started"):
        return False  # the number was given to another process
    return None if started is None else True


def _host() -> str:
    """Return what tells the processes of this host (and container) from all others."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()} {boot} {namespace}"


def _process_start(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks; None where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def describe_lock(path: Path) -> tuple[str, bool] | None:
    """Return who holds a lock file, and whether that process is known to be dead; None where it is no lock of ours."""
    content = _read(path)
    if not _fields(content):
        return None
    return _holder(content), _lives(content) is False


def locks_work_in(folder: Path) -> str | None:
    """Return why two processes could both hold a lock in `folder`, or None where only one can.

    Nothing is said of a folder that cannot be written to.
    """
    path = folder / f".trial-{secrets.token_hex(8)}.lock"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError:
        return None
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        return "a file that is there already can be created once more"
    except FileExistsError:
        pass
    except OSError as error:
        return f"creating files: {error.strerror or error}"
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    return None
