"""``fgvr-bench leaderboard``: boards from results."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from fgvr_bench.cli.output import note
from fgvr_bench.core.files import write_text
from fgvr_bench.core.leaderboard import MARKERS, between_markers, build_tables, to_csv, to_markdown, to_text
from fgvr_bench.core.results import read_runs
from fgvr_bench.errors import FgvrError

FORMATS = {"text": to_text, "markdown": to_markdown, "csv": to_csv}


@click.group(short_help="Build boards from results.")
def leaderboard() -> None:
    """Build boards from results."""


@leaderboard.command()
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
def build(folders: tuple[Path, ...], kind: str | None, output: Path | None, check: bool) -> None:
    """Build the board of all complete runs below FOLDERS (results).

    Runs that asked differently (protocol, task, option set, images) never share a column.

    \b
    fgvr-bench leaderboard build
    fgvr-bench leaderboard build results --output README.md --check
    """
    found = [read_runs(folder) for folder in folders or (Path("results"),)]
    for problem in [problem for _, problems, _ in found for problem in problems]:
        note(problem)
    if unfinished := sum(count for _, _, count in found):
        note(f"{unfinished} unfinished or partial run{'s' * (unfinished > 1)} left out.")
    tables = build_tables([run for runs, _, _ in found for run in runs])
    suffix = output.suffix.lower() if output else ""
    board = FORMATS[kind or {".csv": "csv", ".md": "markdown"}.get(suffix, "text")](tables)
    if output is None:
        if check:
            raise click.UsageError("--check needs --output, the file to compare with")
        click.echo(board, nl=False)
        return
    _write_or_check(output, board, check)


def _write_or_check(output: Path, board: str, check: bool) -> None:
    try:
        before = output.read_text(encoding="utf-8") if output.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise FgvrError(f"{output} cannot be read as text: {error}.") from error
    after = between_markers(before, board)
    if after is None:
        if before and before.split("\n", 1)[0] != board.split("\n", 1)[0]:
            raise FgvrError(
                f"{output} is no board and has no place for one; it is left as it is.",
                hint=f"Put the lines {MARKERS[0]} and {MARKERS[1]} where the board belongs, or name a new file.",
            )
        after = board
    if not check:
        write_text(output, after)
        note(f"written to {output}")
        return
    if before != after:
        lines = difflib.unified_diff(
            before.splitlines(), after.splitlines(), str(output), "what the results give", lineterm=""
        )
        click.echo("\n".join(lines))
        raise FgvrError(
            f"{output} is not current.", hint=f"Bring it up to date: fgvr-bench leaderboard build --output {output}"
        )
