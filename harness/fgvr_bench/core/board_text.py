"""Boards as Markdown and as a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

from fgvr_bench.core.board_words import NOTHING, Grid, interval, lay_out, percent, rank
from fgvr_bench.core.leaderboard import Figure, Table

WIDTH = 110
"""Of the lines beneath a table in a terminal."""
SIGNS = {"best": "*", "level": "≈", "": ""}


def to_markdown(tables: Sequence[Table]) -> str:
    """Return the tables as Markdown: the main metric in percent, intervals beneath, the best in bold."""
    return "\n".join(_markdown_table(lay_out(table)) for table in tables) or NOTHING


def _markdown_table(grid: Grid) -> str:
    title, _, metric = grid.title.partition(", ")
    lines = [
        f"**{markdown(title)}**, {markdown(metric)}",
        "",
        _row("<br>".join(map(markdown, head)) for head in grid.heads),
        "|" + "|".join([":--", *["--:"] * (len(grid.heads) - 1)]) + "|",
    ]
    for name, rows in grid.blocks:
        lines.append(_row([f"*{markdown(name)}*", *[""] * (len(grid.heads) - 1)]))
        for line, beside in rows:
            cells = [
                *([rank(line)] if grid.ranked else []),
                *map(_markdown_figure, line.figures),
                *map(markdown, beside),
            ]
            lines.append(_row([markdown(line.label), *cells]))
    return "\n".join([*lines, "", "<sub>" + "<br>".join(map(markdown, grid.caption)) + "</sub>", ""])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


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


def to_text(tables: Sequence[Table]) -> str:
    """Return the tables as a terminal shows them; the best of a column has a star."""
    return "\n".join(_text_table(lay_out(table)) for table in tables) or NOTHING


def _text_table(grid: Grid) -> str:
    from tabulate import tabulate

    rows: list[list[str]] = []
    for number, (name, lines) in enumerate(grid.blocks):
        if number:
            rows.append([""] * len(grid.heads))
        rows.append([f"[{plain(name)}]", *[""] * (len(grid.heads) - 1)])
        for line, beside in lines:
            cells = [*([rank(line)] if grid.ranked else []), *map(_text_figure, line.figures), *beside]
            rows.append([plain(cell) for cell in [line.label, *cells]])
    body = tabulate(
        rows,
        headers=[plain("\n".join(head)) for head in grid.heads],
        disable_numparse=True,
        colalign=("left", *["right"] * (len(grid.heads) - 1)),
    )
    notes = [fill(plain(sentence), WIDTH, subsequent_indent="  ", break_long_words=False) for sentence in grid.caption]
    return f"{plain(grid.title)}\n\n{body}\n\n" + "\n".join(notes) + "\n"


def _text_figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    text = f"{percent(figure.share)}{SIGNS[figure.mark] or ' '}"
    limits = interval(figure)
    return f"{text}\n{limits} " if limits else text


def plain(text: str) -> str:
    """Return text without what would move a terminal's cursor or turn its writing round."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
