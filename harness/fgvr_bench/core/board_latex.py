"""Boards as LaTeX: booktabs, the best in bold, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fgvr_bench.core.board import Figure, Line, Table
from fgvr_bench.core.board_words import Grid, in_turn, interval, joined, percent, rank

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


def to_latex(tables: Sequence[Table]) -> Iterator[str]:
    """Yield the tables as LaTeX; the packages are named at the top."""
    yield HEAD if tables else f"{HEAD}% "
    yield from in_turn(tables, _table)


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


def _table(grid: Grid) -> Iterator[str]:
    yield "\\begin{table}\n\\centering\\small\\setlength{\\tabcolsep}{4pt}\n"
    yield f"\\caption{{{latex(grid.title)}}}\n\\begin{{tabular}}{{l{'r' * (len(grid.heads) - 1)}}}\n\\toprule\n"
    yield from _heads(grid)
    yield "\\midrule\n"
    for number, (name, rows) in enumerate(grid.blocks):
        if number:
            yield "\\midrule\n"
        yield f"\\multicolumn{{{len(grid.heads)}}}{{l}}{{\\emph{{{latex(name)}}}}} \\\\\n"
        for line, beside in rows:
            yield from _line(grid, line, beside)
    yield "\\bottomrule\n\\end{tabular}\n\n\\smallskip\n\\parbox{\\linewidth}{\\footnotesize "
    yield from joined(" ", map(latex, grid.caption))
    yield "}\n\\end{table}\n"


def _heads(grid: Grid) -> Iterator[str]:
    """Yield the lines of the head, a row for each line of the tallest."""
    depth = max(map(len, grid.heads))
    for row in range(depth):
        yield _row(latex(head[row]) if row < len(head) else "" for head in grid.heads)


def _line(grid: Grid, line: Line, beside: Sequence[str]) -> Iterator[str]:
    """Yield a row of figures and, where any has one, the row of their intervals."""
    told = [*([latex(rank(line))] if grid.ranked else []), *map(_figure, line.figures), *map(latex, beside)]
    limits = [rf"{{\tiny {interval(figure, '--')}}}" if figure and figure.interval else "" for figure in line.figures]
    yield _row([latex(line.label), *told], "[-3pt]" if any(limits) else "")
    if any(limits):
        yield _row(["", *([""] if grid.ranked else []), *limits, *[""] * len(beside)])


def _row(cells: Iterable[str], skip: str = "") -> str:
    return f"{' & '.join(cells)} \\\\{skip}\n"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return ""
    text = percent(figure.share)
    return rf"\textbf{{{text}}}" if figure.mark == "best" else f"{text}{MARKS[figure.mark]}"
