"""``fgvr-bench new-plugin``: a complete plugin to start from."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from fgvr_bench.core.host import host
from fgvr_bench.new_plugin.names import KINDS, draft


@click.command("new-plugin", short_help="Write a complete plugin to start from.")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write; by default one of the plugin's name, here.",
)
@click.option("--force", is_flag=True, help="Write over files that are there already; others stay.")
def new_plugin(kind: str, name: str, out: Path | None, force: bool) -> None:
    """Write a complete plugin to start from: one module, its test, and what makes it installable.

    \b
    fgvr-bench new-plugin model nearest-colour
    fgvr-bench new-plugin dataset my-birds --out plugins/birds
    """
    from fgvr_bench.new_plugin.writing import render, write

    made = draft(kind, name, host(), out or Path())
    folder = out or Path(made.distribution)
    pieces = render(made)
    write(pieces, folder, force)
    click.echo(f"Written to {folder}:")
    for path in pieces:
        click.echo(f"  {path}")
    click.echo("\nNext:")
    for line in (
        f"pip install -e {shlex.quote(f'{folder}[test]')}",
        f"python -m pytest {shlex.quote(str(folder))}",
        "fgvr-bench plugins",
        made.run,
        "fgvr-bench leaderboard build results",
    ):
        click.echo(f"  {line}")
    click.echo(f"\nThen make {folder / f'{made.module}.py'} your own.")
