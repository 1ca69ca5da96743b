"""Boards as LaTeX: booktabs, the best in bold, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fgvr_bench.core.board_words import NOTHING, Grid, interval, lay_out, percent, rank
from fgvr_bench.core.leaderboard import Figure, Table

HEAD = "% fgvr-bench leaderboard; needs \\usepackage{booktabs}\n"
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "≈": r"$\approx$",
    "×": r"$\times$",
    "–": "--",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "’": "'",
}
"""``[`` and ``*`` would be taken for arguments of the line's end before them."""
MARKS = {"best": "", "level": r"$^{\approx}$", "": ""}


def to_latex(tables: Sequence[Table]) -> str:
    """Return the tables as LaTeX; the packages are named at the top."""
    if not tables:
        return f"{HEAD}% {NOTHING}"
    return HEAD + "\n".join(_table(lay_out(table)) for table in tables)


def latex(text: str) -> str:
    """Return text that LaTeX sets as it is; letters beyond its usual fonts stand as their code points.

    >>> latex("a_b & 50 %")
    'a\\\\_b \\\\& 50 \\\\%'
    """
    return "".join(_char(char) for char in text)


def _char(char: str) -> str:
    if char in SPECIAL:
        return SPECIAL[char]
    if not char.isprintable():
        return " "
    return char if char.isascii() or "À" <= char <= "ž" else f"{{[}}U+{ord(char):04X}{{]}}"


def _table(grid: Grid) -> str:
    lines = [
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{latex(grid.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(grid.heads) - 1)}}}",
        r"\toprule",
        *_heads(grid),
        r"\midrule",
    ]
    for number, (name, rows) in enumerate(grid.blocks):
        if number:
            lines.append(r"\midrule")
        lines.append(rf"\multicolumn{{{len(grid.heads)}}}{{l}}{{\emph{{{latex(name)}}}}} \\")
        for line, beside in rows:
            told = [*([latex(rank(line))] if grid.ranked else []), *map(_figure, line.figures), *map(latex, beside)]
            lines.append(_row([latex(line.label), *told]))
            limits = [
                rf"{{\tiny {interval(figure, '--')}}}" if figure and figure.interval else "" for figure in line.figures
            ]
            if any(limits):
                lines[-1] += "[-3pt]"
                lines.append(_row(["", *([""] if grid.ranked else []), *limits, *[""] * len(beside)]))
    notes = [latex(sentence) for sentence in grid.caption]
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"\smallskip",
        rf"\parbox{{\linewidth}}{{\footnotesize {' '.join(notes)}}}",
    ]
    return "\n".join([*lines, r"\end{table}", ""])


def _heads(grid: Grid) -> Iterable[str]:
    """Return the lines of the head, a row for each line of the tallest."""
    depth = max(map(len, grid.heads))
    for row in range(depth):
        yield _row(latex(head[row]) if row < len(head) else "" for head in grid.heads)


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    text = percent(figure.share)
    return rf"\textbf{{{text}}}" if figure.mark == "best" else f"{text}{MARKS[figure.mark]}"
