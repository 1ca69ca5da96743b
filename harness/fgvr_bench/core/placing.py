"""Where a board goes in a file: between its markers, or the whole file if it is a board or new."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """The lines that a board stands between."""

    start: str
    end: str


MARKERS = Place("<!-- leaderboard:start -->", "<!-- leaderboard:end -->")
LATEX_MARKERS = Place("% leaderboard:start", "% leaderboard:end")
OWN = {
    "csv": "protocol,task,block,model,",
    "json": '{\n "format": "fgvr-bench/leaderboard",',
    "latex": "% fgvr-bench leaderboard;",
    "html": "<!doctype html>\n<!-- fgvr-bench leaderboard -->",
}
"""How files begin that hold a board and nothing else; those of other formats begin with its title."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a file holds beside a board."""

    before: str = ""
    after: str = ""
    newline: str = "\n"
    """How its lines end."""

    def text(self, board: Iterable[str]) -> Iterator[str]:
        """Yield what the file holds once the board is in it."""
        yield self.before
        for piece in board:
            yield piece.replace("\n", self.newline)
        yield self.after


def around(file: Path, head: str, kind: str) -> Around | Place:
    """Return what a file holds beside the board; the markers it would need, where it has no place for one.

    An old board is not taken into memory.

    Args:
        file: where the board goes; it need not exist.
        head: the first line of the board.
        kind: its format.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read as text.
    """
    markers = LATEX_MARKERS if kind == "latex" else MARKERS
    if not _has_text(file):
        return Around(f"{markers.start}\n", f"{markers.end}\n") if kind == "markdown" else Around()
    with open(file, "rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as text:
        start, end = text.find(markers.start.encode()), text.find(markers.end.encode())
        if 0 <= start <= end:
            newline = "\r\n" if text.find(b"\r\n") >= 0 else "\n"
            before = text[: start + len(markers.start)].decode()
            return Around(f"{before}{newline}", text[end:].decode(), newline)
        own = OWN.get(kind, f"{head}\n").encode()
        return Around() if text[: len(own)] == own else markers


def _has_text(file: Path) -> bool:
    """Say whether there is anything but blanks in a file, all of which is text."""
    if not file.exists():
        return False
    with open(file, "rb") as opened:
        pieces = codecs.iterdecode(iter(lambda: opened.read(1 << 16), b""), "utf-8")
        return sum(bool(piece.strip()) for piece in pieces) > 0  # reads all of it
