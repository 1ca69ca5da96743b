"""Answers on their way to disk: parts that only grow, and the canonical file made of them.

While a run goes on, each execution appends to a part of its own, ``parts/<n>.jsonl``: a header, then a line
an answer.  A part cut short by a kill loses at most its last, unfinished line, and that answer had not been
shown as done.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fgvr_bench.core.files import atomic_writer, canonical_json, check_format, parse_json, sync_folder
from fgvr_bench.core.records import from_line
from fgvr_bench.errors import FgvrError, FormatUnknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "fgvr-bench/part"
VERSION = 1
SYNC_SECONDS = 0.5
"""The longest time that an answer waits for the disk, half of what is promised."""


class PartWriter:
    """Appends answers to a new part; a thread sees to it that they reach the disk within a second."""

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        self.appended = 0
        """Number of answers handed over."""
        self.synced = 0
        """Number of answers known to be on disk."""
        self.synced_bytes = 0
        """Length of what is known to be on disk."""
        self._failure: OSError | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self.path, self._file = _open_new_part(folder)
        first = canonical_json({"format": FORMAT, "version": VERSION, **header}).encode() + b"\n"
        self._file.write(first)
        self._position = len(first)
        self._closing = False
        self._thread = threading.Thread(target=self._keep_synced, name="sync", daemon=True)
        self._thread.start()

    def append(self, numbers: Sequence[int], lines: Sequence[str]) -> tuple[int, list[int]]:
        """Append answers: question numbers and their lines.

        Returns:
            Where in the file the first one lies, and the length of each, in bytes.

        Raises:
            FgvrError: the disk does not take them; what had been synced stays.
        """
        rows = [f'{{"q":{number},{line[1:]}\n'.encode() for number, line in zip(numbers, lines, strict=True)]
        with self._lock:
            self._raise_failure()
            offset = self._position
            try:
                self._file.write(b"".join(rows))
            except OSError as error:
                self._failure = error
                self._raise_failure()
            lengths = [len(row) for row in rows]
            self._position += sum(lengths)
            self.appended += len(rows)
        return offset, lengths

    def sync(self) -> None:
        """Bring everything appended to the disk, now."""
        self._sync()
        with self._lock:
            self._raise_failure()

    def close(self) -> None:
        """Sync and close."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        try:
            self.sync()
        finally:
            with contextlib.suppress(OSError):
                self._file.close()

    def _keep_synced(self) -> None:
        while not self._closing:
            self._wake.wait(SYNC_SECONDS)
            if self.synced < self.appended:
                self._sync()

    def _sync(self) -> None:
        with self._lock:
            if self._failure is not None or self._file.closed:
                return
            reached, position = self.appended, self._position
            try:
                self._file.flush()
            except OSError as error:
                self._failure = error
                return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._failure = error
            return
        self.synced, self.synced_bytes = max(self.synced, reached), max(self.synced_bytes, position)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise FgvrError(
                f"cannot write {self.path}: {self._failure.strerror or self._failure}.",
                hint="Free some space, then type the same command again: it goes on with what is on disk.",
            ) from self._failure


def _open_new_part(folder: Path) -> tuple[Path, IO[bytes]]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("*.jsonl")))
        while True:
            path = folder / f"{number}.jsonl"
            with contextlib.suppress(FileExistsError):
                file = open(path, "xb")  # noqa: SIM115 (closed by PartWriter.close)
                sync_folder(folder)
                return path, file
            number += 1
    except OSError as error:
        raise FgvrError(
            f"cannot write to {folder}: {error.strerror or error}.",
            hint="Name another folder with --results-dir.",
        ) from error


class StoredAnswers:
    """Where each answered question's line lies; 17 bytes a question."""

    def __init__(self, folder: Path, questions: int, plan: str | None, labels: tuple[str, ...] = ()) -> None:
        """Index the parts in `folder` that follow `plan`.

        Args:
            folder: the run's parts.
            questions: number of the run's questions.
            plan: digest of the batch plan that answers have to have followed; None takes none.
            labels: all labels of the dataset, to read lines back.

        Raises:
            FormatUnknown: a part of a version that this one does not read.
        """
        import numpy as np

        self._plan, self._labels = plan, labels
        self.done: NDArray[np.bool_] = np.zeros(questions, np.bool_)
        self.headers: list[dict[str, Any]] = []
        self.paths: list[Path] = []
        """The parts that were taken in."""
        self._part: NDArray[np.int32] = np.full(questions, -1, np.int32)
        self._offset: NDArray[np.int64] = np.zeros(questions, np.int64)
        self._length: NDArray[np.int32] = np.zeros(questions, np.int32)
        self._taken: dict[Path, tuple[int, int]] = {}
        for path in (
            [] if plan is None else sorted(folder.glob("*.jsonl"), key=lambda each: (len(each.name), each.name))
        ):
            self._index(path)

    def _index(self, path: Path) -> None:
        with open(path, "rb") as file:
            first = file.readline()
            if not first.endswith(b"\n"):
                return  # killed while it wrote the header: nothing was answered
            try:
                header = check_format(parse_json(first), FORMAT, (VERSION,), path)
            except ValueError as error:
                raise FormatUnknown(
                    f"{path} is damaged in its first line.", hint="Move it away and run again."
                ) from error
            if header.get("plan") != self._plan:
                return  # of another batch size: its answers are no part of this run
            self.headers.append(header)
            part = self.add_part(path)
            offset = len(first)
            for line in file:
                self._note(part, offset, line)
                offset += len(line)

    def _note(self, part: int, offset: int, line: bytes) -> int | None:
        """Note where an answer lies; return its question's number, or None where there is nothing new in the line."""
        number = self._question_number(line)
        if number is None or self.done[number]:
            return None
        self.done[number] = True
        self._part[number] = part
        self._offset[number] = offset
        self._length[number] = len(line)
        return number

    def take_in(self, path: Path, upto: int) -> list[tuple[int, bytes]]:
        """Take in what another process has written to a part of its own since this was last called.

        Args:
            path: the part; one that cannot be seen yet counts as empty.
            upto: how many of its bytes are on disk.

        Returns:
            Numbers of the questions answered there and not yet here, and their lines.
        """
        part, offset = self._taken.get(path, (-1, 0))
        if offset >= upto:
            return []
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                data = file.read(upto - offset)
        except FileNotFoundError:
            return []
        if part < 0:
            part = self.add_part(path)
        new = []
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # the rest cannot be seen from here yet
            if offset and (number := self._note(part, offset, line)) is not None:
                new.append((number, _without_number(line)))
            offset += len(line)
        self._taken[path] = part, offset
        return new

    def _question_number(self, line: bytes) -> int | None:
        """Return the question number that a whole line begins with; None for a torn or damaged line."""
        if not (line.startswith(b'{"q":') and line.endswith(b"}\n")):
            return None
        try:
            number = int(line[5 : line.index(b",")])
            from_line(_without_number(line), self._labels)
        except ValueError:
            return None
        return number if 0 <= number < len(self.done) else None

    def add_part(self, path: Path) -> int:
        """Take a part in; return its number here."""
        self.paths.append(path)
        return len(self.paths) - 1

    def add(self, part: int, numbers: Sequence[int], offset: int, lengths: Sequence[int]) -> None:
        """Note answers that were appended to a part one after the other, the first at `offset`."""
        import numpy as np

        where = np.asarray(numbers)
        self.done[where] = True
        self._part[where] = part
        self._length[where] = lengths
        self._offset[where] = offset + np.cumsum([0, *lengths[:-1]])

    def lines(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Yield the stored lines (with line feed, without number) of the given questions, in that order."""
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(path, "rb", buffering=0)) for path in self.paths]
            for number in numbers:
                descriptor = files[self._part[number]].fileno()
                line = os.pread(descriptor, int(self._length[number]), int(self._offset[number]))
                yield _without_number(line)


def _without_number(line: bytes) -> bytes:
    return b"{" + line[line.index(b",") + 1 :]


def write_canonical(answers: StoredAnswers, path: Path) -> Iterator[bytes]:
    """Write all answers in canonical order to `path`, whole or not at all; yield each line on the way.

    The file appears when the iterator is exhausted.
    """
    with atomic_writer(path) as file:
        for line in answers.lines(range(len(answers.done))):
            file.write(line)
            yield line


def remove_leftovers(run_folder: Path, parts: Path) -> None:
    """Remove the parts once the canonical file stands, and what a killed writer left half-written."""
    if parts.exists():
        shutil.rmtree(parts)
    for path in run_folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
