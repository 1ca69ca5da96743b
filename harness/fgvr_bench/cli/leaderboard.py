"""``fgvr-bench leaderboard``: boards from results."""

from __future__ import annotations

import contextlib
import difflib
import importlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import click

from fgvr_bench.cli.output import note, progress
from fgvr_bench.core.files import holds, in_pieces, write_texts
from fgvr_bench.core.host import host
from fgvr_bench.core.placing import Place, around
from fgvr_bench.errors import FgvrError

FORMATS = {
    "text": ("board_text", "to_text"),
    "markdown": ("board_text", "to_markdown"),
    "csv": ("board_data", "to_csv"),
    "json": ("board_data", "to_json"),
    "latex": ("board_latex", "to_latex"),
    "html": ("board_html", "to_html"),
}
"""Module of `fgvr_bench.core` and function that writes each."""
Board: TypeAlias = Callable[[], Iterator[str]]
"""Yields a board's text in pieces, as often as it is called; rows are read from disk meanwhile."""
ENDINGS = {".csv": "csv", ".md": "markdown", ".json": "json", ".tex": "latex", ".html": "html", ".htm": "html"}


@click.group(short_help="Build boards from results.")
def leaderboard() -> None:
    """Build boards from results."""


@leaderboard.command(short_help="Build the board of all complete runs.")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format", "kind", type=click.Choice(list(FORMATS)), help="[default: by the ending of --output, else text]"
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Write to this file; between the markers of one that has them.",
)
@click.option("--check", is_flag=True, help="Change nothing; exit 1 with the difference where --output is not current.")
@click.option("--strict", is_flag=True, help="Build nothing where a run cannot be used, or where there is none.")
@click.option("--reported", is_flag=True, help="Show what others reported (reported/*.jsonl in FOLDERS) beneath.")
def build(
    folders: tuple[Path, ...], kind: str | None, output: Path | None, check: bool, strict: bool, reported: bool
) -> None:
    """Build the board of all complete runs below FOLDERS (results).

    Every run is checked: its id, the digest of its responses, and that they give its figures. Runs that asked
    differently (protocol, task, option set, images) never share a column. docs/leaderboards.md explains intervals,
    ranks and blocks.

    \b
    fgvr-bench leaderboard build
    fgvr-bench leaderboard build results --output README.md --check
    fgvr-bench leaderboard build results --output board.tex --reported
    """
    if check and output is None:
        raise click.UsageError("--check needs --output, the file to compare with")
    kind = kind or ENDINGS.get(output.suffix.lower() if output else "", "text")
    board = _board(folders or (Path("results"),), kind, strict, reported)
    if output is None:
        for text in in_pieces(board()):
            click.echo(text, nl=False)
    else:
        _write_or_check(output, kind, board, check)


def _board(folders: tuple[Path, ...], kind: str, strict: bool, reported: bool) -> Board:
    from fgvr_bench.core.index import Index
    from fgvr_bench.core.leaderboard import build_tables
    from fgvr_bench.core.reported import read_reported

    with Index() as index:
        found = index.read(folders, host(), _progress)
        for problem in found.problems:
            note(problem)
        if found.unfinished:
            note(f"{found.unfinished} unfinished or partial run{'s' * (found.unfinished > 1)} left out.")
        if found.copies:
            note(f"{found.copies} run{'s' * (found.copies > 1)} found twice, answer for answer; counted once.")
        if not found.runs:
            note(f"there is no complete run below {', '.join(map(str, folders))}.")
        if strict and (found.problems or not found.runs):
            count = len(found.problems)
            raise FgvrError(
                f"{count} run{'s' * (count != 1)} cannot be used (named above)." if count else "there is no run.",
                hint="Without --strict the board is built of the others.",
            )
        tables = build_tables(found.runs, index, read_reported(folders) if reported else ())
    module, name = FORMATS[kind]
    write: Callable[..., Iterator[str]] = getattr(importlib.import_module(f"fgvr_bench.core.{module}"), name)
    return partial(write, tables)


@contextlib.contextmanager
def _progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    with progress(description, total) as advance:
        yield advance


def _write_or_check(output: Path, kind: str, board: Board, check: bool) -> None:
    try:
        place = around(output, "".join(islice(board(), 1)).partition("\n")[0], kind)
    except (OSError, UnicodeDecodeError) as error:
        raise FgvrError(f"{output} cannot be read as text: {error}.") from error
    if isinstance(place, Place):
        raise FgvrError(
            f"{output} is no board and has no place for one; it is left as it is.",
            hint=f"Put the lines {place.start} and {place.end} where the board belongs, or name a new file.",
        )
    if not check:
        write_texts(output, place.text(board()))
        note(f"written to {output}")
    elif not holds(output, place.text(board())):
        before = output.read_bytes().decode().splitlines() if output.exists() else []
        after = "".join(place.text(board())).splitlines()
        click.echo("\n".join(difflib.unified_diff(before, after, str(output), "what the results give", lineterm="")))
        raise FgvrError(
            f"{output} is not current.", hint=f"Bring it up to date: fgvr-bench leaderboard build --output {output}"
        )
