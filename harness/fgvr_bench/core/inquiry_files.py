"""What an inquiry wrote: answers read back one by one, and failures taken out so that they are asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import atomic_writer, parse_json
from fgvr_bench.core.records import from_line
from fgvr_bench.types import Response


class Answers(Sequence[Response]):
    """The answers of a finished inquiry, read from its file when they are indexed; 8 bytes an answer are held."""

    def __init__(self, path: Path) -> None:
        import numpy as np

        self._path = path
        with open(path, "rb") as file:
            lengths = [len(line) for line in file]
        self._ends = np.cumsum([0, *lengths], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        """Return one response, or those of a slice."""
        places = range(len(self))[index]
        if isinstance(places, int):
            return self._read(places, places + 1)[0]
        if places.step == 1:
            return self._read(places.start, max(places.start, places.stop))
        return [self[place] for place in places]

    def _read(self, start: int, stop: int) -> list[Response]:
        with open(self._path, "rb") as file:
            file.seek(int(self._ends[start]))
            lines = file.read(int(self._ends[stop] - self._ends[start])).splitlines()
        return [from_line(line, ())[1] for line in lines]


def without_failures(lines: Sequence[bytes], path: Path) -> int:
    """Write a part without the answers that are errors; return how many those were. Writes nothing if none was."""
    kept = [line for place, line in enumerate(lines) if place == 0 or b'"error":' not in line or not _failed(line)]
    if len(kept) < len(lines):
        with atomic_writer(path) as file:
            file.writelines(kept)
    return len(lines) - len(kept)


def _failed(line: bytes) -> bool:
    try:
        return "error" in parse_json(line)
    except ValueError:
        return False
