"""``fgvr-bench datasets``: what there is, whether it is what it claims, and how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgvr_bench.cli.output import note, print_table, progress, warn_of_plugins
from fgvr_bench.core.host import host
from fgvr_bench.core.paths import data_roots
from fgvr_bench.errors import FgvrError

if TYPE_CHECKING:
    from fgvr_bench.core.verify import Report
    from fgvr_bench.interfaces import DatasetPlugin

DATA_ROOT = click.option(
    "--data-root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder to look for datasets in; several times.  [default: FGVR_DATA, then fetched data]",
)


@click.group(invoke_without_command=True)
@click.pass_context
def datasets(ctx: click.Context) -> None:
    """List, check and download datasets; alone it lists them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_datasets, roots=())


@datasets.command("list", short_help="List the datasets, and which are on this machine.")
@DATA_ROOT
def list_datasets(roots: tuple[Path, ...]) -> None:
    """List the datasets there are, and which of them are on this machine."""
    looked = data_roots(roots)
    rows = [
        (
            plugin.card.name,
            plugin.card.title,
            plugin.card.classes or "",
            ", ".join(f"{split} {count:,}" for split, count in plugin.card.images.items()),
            plugin.card.licence,
            _where(plugin, looked),
        )
        for plugin in host().datasets
    ]
    print_table(["dataset", "title", "classes", "images", "licence", "where"], rows)
    warn_of_plugins(host())
    if any(row[-1] == "absent" for row in rows):
        note("\nTo get one that is absent: fgvr-bench datasets fetch NAME")


def _where(plugin: DatasetPlugin, roots: Sequence[Path]) -> str:
    found = plugin.present(roots)
    if found is None and not (plugin.card.downloads or plugin.card.by_hand):
        if plugin.card.name.endswith(":"):
            return "name a path" if plugin.takes_path else "name one"
        return "needs no files"
    return found or "absent"


@datasets.command(short_help="Compare every image with what was published.")
@click.argument("names", metavar="DATASET...", nargs=-1, required=True)
@DATA_ROOT
@click.option("--split", "splits", multiple=True, help="Look at this split only; several times.  [default: all]")
@click.option("--workers", type=click.IntRange(min=1), help="Images opened at a time.  [default: by the machine]")
def verify(names: tuple[str, ...], roots: tuple[Path, ...], splits: tuple[str, ...], workers: int | None) -> None:
    """Open every image of DATASET and compare what is there with what was published.

    Exit status 1 where something is wrong.  'all' takes every dataset that `run --dataset all` does.
    """
    from fgvr_bench.core import verify as verification

    bad = 0
    for name in _named(names):
        try:
            plugin, argument = host().datasets.find(name)
            opened = plugin.open(data_roots(roots), argument)
            report = verification.verify(plugin, opened, splits=splits, workers=workers, progress=progress)
        except FgvrError as error:
            if len(names) == 1 and names != ("all",):
                raise
            note(f"{name}: {error}")
            bad += 1
            continue
        _show(report, opened.root)
        bad += not report.good
    if bad:
        raise SystemExit(1)


def _named(names: Sequence[str]) -> list[str]:
    every = [plugin.card.name for plugin in host().datasets if plugin.card.in_all]
    return [name for given in names for name in (every if given == "all" else [given])]


def _show(report: Report, root: Path | None) -> None:
    rows = [
        (
            found.split,
            found.images,
            "" if found.published is None else found.published,
            len(found.counts),
            len(found.unreadable),
            sum(len(group) - 1 for group in found.duplicates),
        )
        for found in report.splits
    ]
    print_table([report.dataset, "images", "published", "classes", "unreadable", "copies"], rows)
    for text in report.notes:
        click.echo(f"note: {text}")
    for text in report.faults:
        click.echo(f"wrong: {text}")
    verdict = "good" if report.good else f"{len(report.faults)} things are wrong" if report.faults[1:] else "wrong"
    click.echo(f"{report.dataset}: {verdict}" + (f" ({root})" if root else ""))


@datasets.command(short_help="Download a dataset from its official page.")
@click.argument("names", metavar="DATASET...", nargs=-1, required=True)
@click.option(
    "--data-root",
    "root",
    type=click.Path(path_type=Path),
    help="Folder to put it into, as DATASET.  [default: the first of FGVR_DATA, or a folder of this user's]",
)
def fetch(names: tuple[str, ...], root: Path | None) -> None:
    """Download DATASET from its official page, check it and unpack it.

    What was interrupted goes on where it stopped.  Where no direct download exists, it says what to do.
    """
    from fgvr_bench.core.fetch import fetch_dataset

    place = data_roots((root,) if root else ())[0]
    bad = 0
    for name in _named(names):
        plugin, argument = host().datasets.find(name)
        present = plugin.present([place])
        try:
            if argument is not None:
                said = plugin.fetch(place, argument)
            elif present and not (place / plugin.card.name / "fetched.json").exists():
                said = [f"{plugin.card.name} is already in {present}; nothing was downloaded."]
            else:
                said = fetch_dataset(plugin.card, place / plugin.card.name, progress)
        except FgvrError as error:
            if len(names) == 1 and names != ("all",):
                raise
            note(f"{name}: {error}")
            bad += 1
            continue
        for text in said:
            click.echo(text)
        click.echo(f"Check it with: fgvr-bench datasets verify {plugin.card.name}{argument or ''}")
    if bad:
        raise SystemExit(1)


@datasets.command(short_help="Import a list of classes or examples.")
@click.argument("name", metavar="DATASET")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", "called", help="What to call the list, for example seen.  [default: as the file]")
@click.option("--split", default="test", show_default=True, help="Part of the dataset whose examples it may name.")
@DATA_ROOT
def subset(name: str, file: Path, called: str | None, split: str, roots: tuple[Path, ...]) -> None:
    """Import a list of classes or examples of DATASET from FILE, for `run --subset NAME`.

    FILE has a class or an example a line, or is JSON: a list, or lists by name ({"seen": [...], ...}).
    Where only seen is known, unseen is all other classes.
    """
    from fgvr_bench.core.subset import import_subset

    plugin, argument = host().datasets.find(name)
    for made in import_subset(file, plugin.open(data_roots(roots), argument), split, called):
        facts = made.inputs()
        click.echo(f"{made.name}: {facts['count']} {facts['kind']} of {plugin.card.name}")
