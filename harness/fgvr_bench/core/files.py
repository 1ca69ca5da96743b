"""Files as the harness writes them: canonical JSON, whole or not at all, with a format name and version."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fgvr_bench.errors import FgvrError, FormatUnknown

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode


def canonical_json(value: Any) -> str:
    """Return the one spelling of a JSON value: sorted keys, no spaces, UTF-8 text, no NaN.

    >>> canonical_json({"b": 1, "a": [0.25, None]})
    '{"a":[0.25,null],"b":1}'

    Raises:
        ValueError: a number is not finite.
    """
    return _encode(value)


def parse_json(text: str | bytes) -> Any:
    """Read JSON that anybody may have written.

    Raises:
        ValueError: it is none, or so deeply nested that no file of this project is.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


HALF = ".fgvr.tmp"
"""How the name of a file ends that is not whole yet."""
ABANDONED_SECONDS = 60.0
"""A half-written file that nobody holds is let be for so long: its writer may not have come to hold it yet."""
_tidied: set[int] = set()
"""Hashes of folders, of which there may be many thousands."""
SIGHT_SECONDS = 60.0
"""How long what another machine has written may take to be seen on a shared disk."""


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[Any]:
    """Open a binary file that takes the place of `path` when the block ends, and is removed if it fails.

    Raises:
        FgvrError: the folder cannot be written to or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tidy(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.", suffix=HALF)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            _hold(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise
    sync_folder(path.parent)


def tidy(folder: Path) -> None:
    """Remove the half-written files of killed writers, once a folder and process.

    None is removed that somebody may still write: the system knows who holds a file, on most file systems.
    """
    if hash(folder) in _tidied:
        return
    _tidied.add(hash(folder))
    for path in folder.glob(f".*{HALF}"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime >= ABANDONED_SECONDS and _hold(file.fileno()):
                path.unlink()


def _hold(descriptor: int) -> bool:
    """Hold an open file until it is closed or this process dies; False where another does, or nobody can."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _cannot_write(path: Path, error: OSError) -> FgvrError:
    instead = "another folder (--results-dir, FGVR_CACHE)"
    return FgvrError(f"cannot write {path}: {error.strerror or error}.", hint=advice(error, instead))


def comes_to_sight(seen: Callable[[], bool]) -> bool:
    """Wait for what another machine has written to a shared disk; say whether it can be seen."""
    deadline = time.monotonic() + SIGHT_SECONDS
    while not seen():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a system says where there is no room."""


def advice(error: OSError, instead: str) -> str:
    """Return what to do about something that cannot be written: room or rights, or name something else.

    >>> advice(PermissionError(errno.EACCES, "Permission denied"), "another file")
    'Mend its permissions, or name another file.'
    """
    if error.errno in FULL:
        return f"Free some space, or name {instead}."
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"Mend its permissions, or name {instead}."
    return f"Name {instead}."


PIECE = 1 << 16
"""Characters that are written at once."""


def in_pieces(texts: Iterable[str]) -> Iterator[str]:
    """Yield texts in larger pieces."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= PIECE:
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8, line feeds)."""
    write_texts(path, [text])


def write_texts(path: Path, texts: Iterable[str]) -> None:
    """Write a text file from pieces, likewise."""
    with atomic_writer(path) as file:
        for text in texts:
            file.write(text.encode())


def holds(path: Path, texts: Iterable[str]) -> bool:
    """Say whether a file holds these texts and nothing else."""
    if not path.exists():
        return False
    with open(path, "rb") as file:
        return all(file.read(len(text)) == text for text in map(str.encode, texts)) and not file.read(1)


def readable_json(value: Any) -> str:
    """Return the one spelling of a JSON value that people can read: sorted keys, an indent of two, a line feed."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True) + "\n"


def json_pieces(value: Any, indent: int | None, line: str = "\n") -> Iterator[str]:
    """Yield the JSON of a value as `json.dumps` writes it; an iterator in it becomes a list, written item by item.

    >>> "".join(json_pieces({"a": iter([1, 2]), "b": iter([])}, indent=1))
    '{\\n "a": [\\n  1,\\n  2\\n ],\\n "b": []\\n}'

    Args:
        value: what is written; all text in it becomes ASCII.
        indent: blanks a level; None puts all on one line, without any.
        line: what a line begins with; of calls for what is inside.
    """
    comma, colon = (",", ":") if indent is None else (",", ": ")
    if isinstance(value, dict):
        yield from _within(
            "{}", ((f"{json.dumps(str(name))}{colon}", each) for name, each in value.items()), indent, line
        )
    elif isinstance(value, Iterator):
        yield from _within("[]", (("", each) for each in value), indent, line)
    else:
        yield json.dumps(value, allow_nan=False, indent=indent, separators=(comma, colon)).replace("\n", line)


def _within(brackets: str, items: Iterator[tuple[str, Any]], indent: int | None, line: str) -> Iterator[str]:
    line, inner, empty = ("", "", True) if indent is None else (line, line + " " * indent, True)
    yield brackets[0]
    for name, each in items:
        yield f"{'' if empty else ','}{inner}{name}"
        yield from json_pieces(each, indent, inner)
        empty = False
    yield brackets[1] if empty else f"{line}{brackets[1]}"


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that people can read, atomically; the same value gives the same bytes."""
    write_text(path, readable_json(value))


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write a value a line in canonical JSON, atomically."""
    with atomic_writer(path) as file:
        for row in rows:
            file.write(_encode(row).encode() + b"\n")


def read_json(path: Path, format_name: str, versions: tuple[int, ...]) -> dict[str, Any]:
    """Read a JSON file written by `write_json` and check its ``format`` and ``version``.

    Raises:
        FormatUnknown: the format or version is not one that this version reads.
        FgvrError: absent, unreadable or no JSON.
    """
    try:
        value = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise FgvrError(f"{path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise FgvrError(f"{path} cannot be read: {error}.") from error
    return check_format(value, format_name, versions, path)


def check_format(value: Any, format_name: str, versions: tuple[int, ...], path: Path) -> dict[str, Any]:
    """Return `value` if it is a mapping that carries the format name and a known version."""
    if not isinstance(value, dict) or value.get("format") != format_name:
        found = value.get("format") if isinstance(value, dict) else None
        raise FormatUnknown(f"{path} is not a {format_name} file (its format is {found!r}).")
    if value.get("version") not in versions:
        known = ", ".join(map(str, versions))
        raise FormatUnknown(
            f"{path} is {format_name} version {value.get('version')}; this fgvr-bench reads version {known}.",
            hint="Upgrade with: pip install --upgrade fgvr-bench",
        )
    return value
