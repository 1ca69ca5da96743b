"""``fgvr-bench report``: results as pages that open from disk."""

from __future__ import annotations

from pathlib import Path

import click

from fgvr_bench.cli.output import note, progress
from fgvr_bench.core.host import host


@click.command(short_help="Write results as pages with pictures and charts.")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("report"),
    show_default=True,
    help="A folder, or one file where the name ends in .html.",
)
@click.option("--title", default="Results", show_default=True, help="What stands above the board.")
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Show the images of the questions.")
@click.option(
    "--picture-size",
    type=click.IntRange(64, 1024),
    default=240,
    show_default=True,
    help="Longest side of a picture, in pixels.",
)
@click.option(
    "--data-root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder to look for datasets in; several times.  [default: FGVR_DATA, then fetched data]",
)
def report(
    folders: tuple[Path, ...], out: Path, title: str, pictures: bool, picture_size: int, roots: tuple[Path, ...]
) -> None:
    """Write a report of all complete runs below FOLDERS (results): a board, figures of each run, every question.

    It opens from disk, without a server and without a network. Pictures come from the datasets on this machine;
    a dataset that is not here leaves its questions without.

    \b
    fgvr-bench report
    fgvr-bench report results/moth-24 --out moths.html
    """
    from fgvr_bench.core.index import Index
    from fgvr_bench.report.build import ReportSettings, build_report

    settings = ReportSettings(pictures, picture_size, roots, title)
    with Index() as index:
        found = index.read(folders or (Path("results"),), host(), progress)
        notes = list(found.problems)
        if found.unfinished:
            notes.append(f"{found.unfinished} unfinished or partial run{'s' * (found.unfinished > 1)} left out.")
        if found.copies:
            notes.append(f"{found.copies} run{'s' * (found.copies > 1)} found twice, answer for answer; shown once.")
        for each in notes:
            note(each)
        built = build_report(host(), found.runs, out, settings, progress, notes, index)
    for each in built.notes[len(notes) :]:
        note(each)
    if built.page is not None:
        size = f"{built.bytes / 1e6:,.1f} MB"
        note(
            f"{built.runs} runs, {built.answers:,} answers, {built.pictures:,} pictures, {size}; open it in a browser:"
        )
        click.echo(str(built.page))
