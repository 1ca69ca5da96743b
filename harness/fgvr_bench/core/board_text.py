"""Boards as Markdown and as a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from textwrap import fill

from fgvr_bench.core.board import Figure, Table
from fgvr_bench.core.board_words import Grid, in_turn, interval, joined, percent, rank

WIDTH = 110
"""Of the lines beneath a table in a terminal."""
SIGNS = {"best": "*", "level": "≈", "": ""}
ROWS_AT_ONCE = 200
"""Rows that are drawn together in a terminal."""


def to_markdown(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the tables as Markdown: the main metric in percent, intervals beneath, the best in bold."""
    return in_turn(tables, _markdown_table)


def _markdown_table(grid: Grid) -> Iterator[str]:
    title, _, metric = grid.title.partition(", ")
    yield f"**{markdown(title)}**, {markdown(metric)}\n\n"
    yield _row("<br>".join(map(markdown, head)) for head in grid.heads)
    yield "|" + "|".join([":--", *["--:"] * (len(grid.heads) - 1)]) + "|\n"
    for name, rows in grid.blocks:
        yield _row([f"*{markdown(name)}*", *[""] * (len(grid.heads) - 1)])
        for line, beside in rows:
            cells = [
                *([rank(line)] if grid.ranked else []),
                *map(_markdown_figure, line.figures),
                *map(markdown, beside),
            ]
            yield _row([markdown(line.label), *cells])
    yield "\n<sub>"
    yield from joined("<br>", map(markdown, grid.caption))
    yield "</sub>\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _markdown_figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    text = percent(figure.share)
    text = f"**{text}**" if figure.mark == "best" else f"{text}{SIGNS[figure.mark]}"
    limits = interval(figure)
    return f"{text}<br><sub>{limits}</sub>" if limits else text


def markdown(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    kept = "".join(char if char.isprintable() else " " for char in text)
    return "".join(f"&#{ord(char)};" if char in "<>&|`*_[]\\~#" else char for char in kept)


def to_text(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the tables as a terminal shows them; the best of a column has a star."""
    return in_turn(tables, _text_table)


def _text_table(grid: Grid) -> Iterator[str]:
    yield f"{plain(grid.title)}\n\n"
    widths = [0] * len(grid.heads)
    for rows in _together(_text_rows(grid)):
        widths = [max(pair) for pair in zip(widths, _widths(grid, rows), strict=True)]
    ruler = ["x" * width for width in widths]
    above = max(map(len, grid.heads)) + 1
    for number, rows in enumerate(_together(_text_rows(grid))):
        lines = _drawn(grid, [ruler, *rows])
        del lines[above]
        yield from (f"{line}\n" for line in (lines[above:] if number else lines))
    yield "\n"
    notes = (fill(plain(sentence), WIDTH, subsequent_indent="  ", break_long_words=False) for sentence in grid.caption)
    yield from joined("\n", notes)
    yield "\n"


def _together(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    return iter(lambda: list(islice(rows, ROWS_AT_ONCE)), [])


def _text_rows(grid: Grid) -> Iterator[list[str]]:
    for number, (name, lines) in enumerate(grid.blocks):
        if number:
            yield [""] * len(grid.heads)
        yield [f"[{plain(name)}]", *[""] * (len(grid.heads) - 1)]
        for line, beside in lines:
            cells = [*([rank(line)] if grid.ranked else []), *map(_text_figure, line.figures), *beside]
            yield [plain(cell) for cell in [line.label, *cells]]


def _drawn(grid: Grid, rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with these rows: heads, a rule, the rows."""
    from tabulate import tabulate

    return tabulate(
        rows,
        headers=[plain("\n".join(head)) for head in grid.heads],
        disable_numparse=True,
        colalign=("left", *["right"] * (len(grid.heads) - 1)),
    ).split("\n")


def _widths(grid: Grid, rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide the columns of these rows are drawn: so long are the dashes beneath the heads."""
    return list(map(len, _drawn(grid, rows)[max(map(len, grid.heads))].split()))


def _text_figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    text = f"{percent(figure.share)}{SIGNS[figure.mark] or ' '}"
    limits = interval(figure)
    return f"{text}\n{limits} " if limits else text


def plain(text: str) -> str:
    """Return text without what would move a terminal's cursor or turn its writing round."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
