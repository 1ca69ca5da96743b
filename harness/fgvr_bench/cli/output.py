"""What commands show: tables, notes and progress; quiet where the output is no terminal."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fgvr_bench.core.host import Host
from fgvr_bench.core.showing import bar as progress
from fgvr_bench.core.showing import inert

__all__ = ["inert", "note", "print_table", "progress", "warn_of_plugins"]


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]], widest: int | None = None) -> None:
    """Print a plain table, columns aligned, numbers to the right, texts of more than `widest` letters wrapped."""
    from tabulate import tabulate

    cells = [[inert(cell) for cell in row] for row in rows]
    click.echo(tabulate(cells, headers=list(headers), maxcolwidths=widest))


def note(message: str) -> None:
    """Print a line that is not the command's result (to standard error)."""
    click.echo(str(inert(message)), err=True)


def warn_of_plugins(plugins: Host) -> None:
    """Name the plugins that could not be used, a line each, on standard error."""
    for info in plugins.problems():
        note(f"Warning: plugin {info.name} of {info.distribution} {info.version} is left out: {info.error}")
