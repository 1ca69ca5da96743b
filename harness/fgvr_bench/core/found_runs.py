"""Runs that were found and checked, on disk: ten thousand take no more memory than one."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, overload

from fgvr_bench.core.checking import Questions
from fgvr_bench.core.results import Column, StoredRun
from fgvr_bench.core.scratch import database, frozen, sort_key, thawed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TABLES = """
CREATE TABLE runs (number INTEGER PRIMARY KEY, path BLOB UNIQUE, place BLOB, run_id BLOB, asked INTEGER, fields BLOB,
    bits BLOB);
"""
STORED = [each.name for each in fields(StoredRun) if each.name != "column"]
"""What is kept of each run; what it was asked is kept once for all that share it."""
values_of = attrgetter(*STORED)


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """A complete run that is what it claims to be."""

    run: StoredRun
    """Its column's `question_set` says which questions it was asked: runs of one column were asked the same."""
    bits: bytes
    questions: Questions

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each answer is right, in the order of ``responses.jsonl``."""
        import numpy as np

        count = self.run.questions
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count).astype(bool)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return int.from_bytes(self.bits).bit_count() / self.run.questions


class Runs(Sequence[IndexedRun]):
    """Runs in the order of their paths; one is in memory while it is looked at."""

    def __init__(self) -> None:
        self._base = database(TABLES)
        self._asked: dict[tuple[Column, str], int] = {}
        self._questions: list[tuple[Column, Questions]] = []
        self._order: array[int] | None = None

    def expect(self, folder: Path) -> None:
        """Note a folder that is to be looked through."""
        row = (sort_key(*folder.parts), _bytes(str(folder)))
        self._base.execute("INSERT OR IGNORE INTO runs (path, place) VALUES (?, ?)", row)

    def expected(self) -> tuple[int, Iterator[Path]]:
        """Return how many folders are noted that no run was put in for, and these, in order."""
        found = array("q", (number for (number,) in self._base.execute(f"{SELECT} fields IS NULL ORDER BY path")))
        query = "SELECT place FROM runs WHERE number = ?"
        places = (self._base.execute(query, (number,)).fetchone()[0] for number in found)
        return len(found), (Path(place.decode("utf-8", "surrogatepass")) for place in places)

    def put(self, each: IndexedRun) -> None:
        """Put a run in; one of that folder gives way."""
        run = each.run
        asked = run.column, each.questions.digest
        if asked not in self._asked:
            self._asked[asked] = len(self._questions)
            self._questions.append((run.column, each.questions))
        values = frozen(values_of(run))
        row = (sort_key(*Path(run.place).parts), _bytes(run.place), _bytes(run.run_id), self._asked[asked], values)
        self._base.execute("REPLACE INTO runs (path, place, run_id, asked, fields, bits) VALUES (?, ?, ?, ?, ?, ?)",
                           (*row, each.bits))  # fmt: skip
        self._order = None

    def drop(self, each: IndexedRun) -> None:
        """Take a run out."""
        self._base.execute("DELETE FROM runs WHERE path = ?", (sort_key(*Path(each.run.place).parts),))
        self._order = None

    def of_one_id(self) -> Iterator[list[IndexedRun]]:
        """Yield the runs that share an id with another, id by id, in order."""
        query = "SELECT run_id FROM runs WHERE fields NOT NULL GROUP BY run_id HAVING COUNT(*) > 1 ORDER BY MIN(path)"
        for (run_id,) in self._base.execute(query).fetchall():
            found = self._base.execute(f"{SELECT} run_id = ? AND fields NOT NULL ORDER BY path", (run_id,))
            yield [self._of(number) for (number,) in found.fetchall()]

    def _places(self) -> array[int]:
        if self._order is None:
            found = self._base.execute(f"{SELECT} fields NOT NULL ORDER BY path")
            self._order = array("q", (number for (number,) in found))
        return self._order

    def _of(self, number: int) -> IndexedRun:
        query = "SELECT asked, fields, bits FROM runs WHERE number = ?"
        asked, values, bits = self._base.execute(query, (number,)).fetchone()
        column, questions = self._questions[asked]
        stored = StoredRun(column=column, **dict(zip(STORED, thawed(values), strict=True)))
        return IndexedRun(stored, bits, questions)

    def __len__(self) -> int:
        return len(self._places())

    @overload
    def __getitem__(self, place: int) -> IndexedRun: ...
    @overload
    def __getitem__(self, place: slice) -> list[IndexedRun]: ...
    def __getitem__(self, place: int | slice) -> IndexedRun | list[IndexedRun]:
        found = self._places()[place]
        return self._of(found) if isinstance(found, int) else [self._of(number) for number in found]


SELECT = "SELECT number FROM runs WHERE"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def indexed(run: StoredRun, bits: bytes, questions: Questions) -> IndexedRun:
    """Return a run with the questions that it was asked, which part columns as well."""
    return IndexedRun(replace(run, column=replace(run.column, question_set=questions.digest)), bits, questions)
