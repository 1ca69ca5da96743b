"""What commands show: tables, notes and progress; quiet where the output is no terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

import click

from fgvr_bench.core.host import Host


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a plain table, columns aligned; numbers to the right."""
    from tabulate import tabulate

    click.echo(tabulate([[inert(cell) for cell in row] for row in rows], headers=list(headers), disable_numparse=False))


def note(message: str) -> None:
    """Print a line that is not the command's result (to standard error)."""
    click.echo(str(inert(message)), err=True)


def inert(cell: object) -> object:
    """Return the cell without control characters, so that a label cannot move the cursor."""
    return (
        "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in cell)
        if isinstance(cell, str)
        else cell
    )


@contextlib.contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left while the block runs; yield ``advance(n)``.

    Nothing is drawn where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=total)
        yield lambda n: bars.advance(task, n)


def warn_of_plugins(plugins: Host) -> None:
    """Name the plugins that could not be used, a line each, on standard error."""
    for info in plugins.problems():
        note(f"Warning: plugin {info.name} of {info.distribution} {info.version} is left out: {info.error}")
