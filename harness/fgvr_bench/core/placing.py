"""Where a board goes in a file: between its markers, or the whole file if it is a board or new."""

from __future__ import annotations

from dataclasses import dataclass


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
"""How files begin that hold a board and nothing else."""


def placed(before: str, board: str, kind: str) -> str | Place:
    """Return what a file holds once the board is in it; the markers it would need, where it has no place for one.

    Args:
        before: what the file holds now; empty for a new one.
        board: the board.
        kind: its format.
    """
    markers = LATEX_MARKERS if kind == "latex" else MARKERS
    found = _between(before, board, markers)
    if found is not None:
        return found
    if kind == "markdown" and not before.strip():
        return f"{markers.start}\n{board}{markers.end}\n"
    if not before.strip() or before.startswith(OWN.get(kind, "\0")) or _same_head(before, board):
        return board
    return markers


def _between(text: str, board: str, markers: Place) -> str | None:
    """Return `text` with the board between its markers, in the text's own line ends; None where it has none."""
    start, end = text.find(markers.start), text.find(markers.end)
    if start < 0 or end < start:
        return None
    newline = "\r\n" if "\r\n" in text else "\n"
    return f"{text[: start + len(markers.start)]}{newline}{board.replace(chr(10), newline)}{text[end:]}"


def _same_head(before: str, board: str) -> bool:
    """Say whether a file begins with the line that the board does."""
    return before.split("\n", 1)[0] == board.split("\n", 1)[0]
