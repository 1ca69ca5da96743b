"""Commands of ``fgvr-bench options`` for sets that others published: ``import``, ``export``, ``fetch``."""

from __future__ import annotations

from pathlib import Path

import click

from fgvr_bench.cli.output import note, progress
from fgvr_bench.core.host import host
from fgvr_bench.core.paths import data_roots
from fgvr_bench.errors import FgvrError, OptionsInvalid, UsageError

DATASET = click.option("--dataset", "-d", "name", required=True, help="The dataset that it is for.")
SPLIT = click.option("--split", default="test", show_default=True, help="Part of the dataset.")
DATA_ROOT = click.option(
    "--data-root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder to look for datasets in; several times.  [default: FGVR_DATA, then fetched data]",
)


@click.command("import", short_help="Make an option set of a published JSON file.")
@click.argument("file", type=click.Path(path_type=Path))
@DATASET
@SPLIT
@DATA_ROOT
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the set.  [default: the cache]")
def import_(file: Path, name: str, split: str, roots: tuple[Path, ...], out: Path | None) -> None:
    """Convert a published JSON FILE of options to an option set.

    Images are matched by base name.  Without --out, the file that a dataset's card pins becomes the set that
    runs take by default.
    """
    from fgvr_bench.core.published import MINER, import_options, set_path

    plugin, argument = host().datasets.find(name)
    dataset = plugin.open(data_roots(roots), argument)
    published = dataset.card.published
    target = out or (set_path(dataset.card, published) if published and published.split == split else None)
    if target is None:
        raise UsageError(f"{name} has no published set of its own.", hint="Say where to write this one: --out FILE")
    made = import_options(file, dataset, split, target if out else target.with_suffix(".new"))
    if not out:
        made.path = _settle(made.path, target, made.header["miner"] == MINER, file)
    click.echo(f"{len(made):,} questions of {dataset.card.name} {split} in {made.path}")
    if made.header["miner"] != MINER:
        note(f"This is not the published set that {dataset.card.name} is known by; name it with --options {made.path}")


def _settle(made: Path, target: Path, pinned: bool, file: Path) -> Path:
    """Move a set that is the pinned one to its place in the cache; another one needs a name."""
    if not pinned:
        made.unlink()
        raise OptionsInvalid(
            f"{file} is not the published file that this dataset is known by (its SHA-256 is another).",
            hint="To import it as a set of its own: --out FILE",
        )
    return made.replace(target)


@click.command("export", short_help="Give the published JSON file back.")
@click.argument("option_set", metavar="SET", type=click.Path(path_type=Path), required=False)
@click.option("--dataset", "-d", "name", help="Export this dataset's published set in place of a SET file.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The JSON file to write.")
def export(option_set: Path | None, name: str | None, out: Path) -> None:
    """Write an imported SET as the JSON file that it came from, byte for byte."""
    from fgvr_bench.core.published import set_path, write_export

    if (option_set is None) == (name is None):
        raise UsageError("export takes either a SET or --dataset.")
    if name is not None:
        card = host().datasets[name].card
        if card.published is None:
            raise OptionsInvalid(f"nobody has published an option set for {card.name}.")
        option_set = set_path(card, card.published)
        if not option_set.exists():
            raise OptionsInvalid(
                f"the published set of {card.name} is not in the cache.",
                hint=f"Type: fgvr-bench options fetch {card.name}, then run or import once.",
            )
    assert option_set is not None  # noqa: S101 - one of the two was given
    write_export(option_set, out)
    click.echo(f"{out} ({out.stat().st_size:,} bytes)")


@click.command("fetch", short_help="Download the published option set of a dataset.")
@click.argument("names", metavar="DATASET...", nargs=-1, required=True)
def fetch(names: tuple[str, ...]) -> None:
    """Download the published option set of DATASET ('all': of each that has one) and check its SHA-256."""
    from fgvr_bench.core.published import fetch_published

    every = [plugin.card.name for plugin in host().datasets if plugin.card.published]
    wanted = [name for given in names for name in (every if given == "all" else [given])]
    bad = 0
    for name in wanted:
        card = host().datasets[name].card
        try:
            path = fetch_published(card, card.published.split if card.published else "test", progress)
        except FgvrError as error:
            if len(wanted) == 1:
                raise
            note(f"{name}: {error}")
            bad += 1
            continue
        click.echo(f"{name}: {path}")
    if bad:
        raise SystemExit(1)
