"""What is worked on once and does not fit the memory: on disk, without a name, gone with what holds it."""

from __future__ import annotations

import pickle
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CACHE_KIB = 512
"""Of a database that may be in memory."""
FEW_KIB = 64
"""Likewise, where things are read in their order and there may be many such databases."""

SPOOLED = 1 << 16
"""Bytes of numbers that are in memory before there is a file."""

T = TypeVar("T")


class _Closing(sqlite3.Connection):
    """A connection that is closed with the last of those who hold it, in whatever thread that is."""

    def __del__(self) -> None:
        self.close()


def database(tables: str, cache_kib: int = CACHE_KIB) -> sqlite3.Connection:
    """Open a new database that nobody else sees, with these tables; what does not fit its cache lies on disk."""
    base = sqlite3.connect("", factory=_Closing, check_same_thread=False)
    base.executescript(f"PRAGMA journal_mode = OFF; PRAGMA cache_size = -{cache_kib}; {tables}")
    return base


def frozen(thing: object) -> bytes:
    """Return a thing as bytes for such a database."""
    return pickle.dumps(thing)


def thawed(found: bytes) -> Any:
    """Return what `frozen` was given."""
    return pickle.loads(found)  # noqa: S301 - nobody else can have put it there


def sort_key(*texts: str) -> bytes:
    r"""Return bytes that stand in the order that tuples of these texts have, whatever is in them.

    >>> sorted([("b",), ("a", "z"), ("a\0",), ("a",)], key=lambda texts: sort_key(*texts))
    [('a',), ('a', 'z'), ('a\x00',), ('b',)]
    """
    return b"".join(text.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\xff") + b"\0\0" for text in texts)


class Pile(Sequence[T], Generic[T]):
    """Things in the order in which they were added, each under a key; one is in memory while it is looked at."""

    def __init__(self) -> None:
        self._base = database("CREATE TABLE pile (place INTEGER PRIMARY KEY, key BLOB, thing BLOB);", FEW_KIB)
        self._count = 0

    def add(self, thing: T, *key: str) -> None:
        """Add a thing (that can be pickled)."""
        row = (self._count, sort_key(*key), frozen(thing))
        self._base.execute("INSERT INTO pile VALUES (?, ?, ?)", row)
        self._count += 1

    def replace(self, place: int, thing: T) -> None:
        """Put another thing in the place of one, under the same key."""
        self._base.execute("UPDATE pile SET thing = ? WHERE place = ?", (frozen(thing), place))

    def alike(self) -> Iterator[list[int]]:
        """Yield the places of the things that share a key, key by key in order."""
        found = self._base.execute("SELECT key, place FROM pile ORDER BY key, place")
        for _, members in groupby(found, lambda row: row[0]):
            yield [place for _, place in members]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        (thing,) = self._base.execute("SELECT thing FROM pile WHERE place = ?", (place,)).fetchone()
        found: T = thawed(thing)
        return found


class Kept(Generic[T]):
    """Things by names, on disk."""

    def __init__(self) -> None:
        self._base = database("CREATE TABLE kept (name BLOB PRIMARY KEY, thing BLOB) WITHOUT ROWID;", FEW_KIB)

    def __setitem__(self, name: str, thing: T) -> None:
        self._base.execute("REPLACE INTO kept VALUES (?, ?)", (sort_key(name), frozen(thing)))

    def get(self, name: str) -> T | None:
        """Return the thing of a name; None where there is none."""
        found = self._base.execute("SELECT thing FROM kept WHERE name = ?", (sort_key(name),)).fetchone()
        return thawed(found[0]) if found else None


class NumberRows:
    """Rows of numbers, all of one length, in the order in which they were added."""

    def __init__(self, width: int, dtype: np.dtype[Any] | type) -> None:
        import numpy as np

        self._width, self._dtype = width, np.dtype(dtype)
        self._file = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115 - closed with this object
        self._count, self._at_end = 0, True

    def __del__(self) -> None:
        self._file.close()

    def add(self, rows: NDArray[Any]) -> None:
        """Add one row, or several, shape (rows, width)."""
        if not self._at_end:
            self._file.seek(0, 2)
            self._at_end = True
        self._file.write(rows.astype(self._dtype, copy=False).tobytes())
        self._count += rows.size // self._width

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: NDArray[Any]) -> NDArray[Any]:
        """Return some rows, shape (places, width), in the order of their places."""
        import numpy as np

        if not len(places):
            return np.empty((0, self._width), self._dtype)
        breaks = np.flatnonzero(np.diff(places) != 1) + 1
        found = b"".join(self._read(int(part[0]), len(part)) for part in np.split(places, breaks))
        return np.frombuffer(found, self._dtype).reshape(len(places), self._width)

    def _read(self, start: int, count: int) -> bytes:
        size = self._width * self._dtype.itemsize
        self._at_end = False
        self._file.seek(start * size)
        return self._file.read(count * size)
