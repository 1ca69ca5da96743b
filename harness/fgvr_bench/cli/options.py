"""``fgvr-bench options``: build, check and look at option sets."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgvr_bench.cli.launched import AutoOrNumber, as_launched, assists_launched
from fgvr_bench.cli.output import note, print_table, progress
from fgvr_bench.cli.published import export, fetch, import_
from fgvr_bench.core.files import atomic_writer
from fgvr_bench.core.host import host
from fgvr_bench.core.launching import ranks_for
from fgvr_bench.core.paths import data_roots
from fgvr_bench.core.ranks import leading
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import MiningSettings

if TYPE_CHECKING:
    from fgvr_bench.core.option_files import OptionSet
    from fgvr_bench.interfaces import Dataset

FILE = click.Path(path_type=Path, dir_okay=False)
DATA_ROOT = click.option(
    "--data-root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder to look for datasets in; several times.  [default: FGVR_DATA, then fetched data]",
)


def _miner_args(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise click.BadParameter(f"{key!r} is not of the form key=value", ctx, param)
    return {key: value for key, _, value in pairs}


@click.group()
def options() -> None:
    """Build, check and look at option sets: the choices that questions offer."""


@options.command(short_help="Mine an option set, or find the one mined before.")
@click.option("--dataset", "-d", "name", required=True, help="The dataset's name.")
@click.option("--split", default="test", show_default=True, help="Part of the dataset.")
@click.option("--miner", help="Who chooses the wrong answers.  [default: the dataset's own miner, or clip]")
@click.option("--k", type=click.IntRange(2, 26), default=4, show_default=True, help="Choices a question.")
@click.option("--seed", type=int, default=0, show_default=True, help="For miners that draw lots.")
@click.option(
    "--miner-arg",
    "args",
    multiple=True,
    callback=_miner_args,
    metavar="KEY=VALUE",
    help="A setting of the miner's own, for example model=ViT-L-14/laion2b_s32b_b82k; several times.",
)
@click.option("--exact", is_flag=True, help="Compute every image in full precision, without a fast first pass.")
@click.option(
    "--on-bad-image",
    type=click.Choice(["skip", "fail"]),
    help="An image that cannot be read keeps its question, or ends the mining.  [default: skip]",
)
@click.option("--device", default="auto", show_default=True, help="cpu, mps, cuda, cuda:1 ...")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images in a batch.  [default: the miner's choice]")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read images.  [default: one a core]")
@click.option("--num-processes", type=AutoOrNumber(), help="Processes, one a GPU.  [default: 1, or those launched]")
@click.option("--out", type=FILE, help="Write a copy of the set here.")
@DATA_ROOT
def build(
    name: str,
    split: str,
    miner: str | None,
    k: int,
    seed: int,
    args: dict[str, str],
    exact: bool,
    on_bad_image: str | None,
    device: str,
    batch_size: int | None,
    workers: int | None,
    num_processes: int | str | None,
    out: Path | None,
    roots: tuple[Path, ...],
) -> None:
    """Mine the option set of a dataset, or find the one that was made from the same inputs."""
    from fgvr_bench.core.options import find_or_build

    shared = RunSettings(num_processes=as_launched(num_processes))
    if assists_launched([], [], shared):
        return
    dataset = _open(name, roots)
    if exact:
        args = {**args, "precision": "exact"}
    if on_bad_image is not None:
        args = {**args, "on-bad-image": on_bad_image}
    own = dataset.card.options
    settings = MiningSettings(
        k, seed, device, batch_size, workers, args, dataset_name=name, data_roots=tuple(data_roots(roots))
    )
    with leading(ranks_for([], [], shared)):
        made = find_or_build(
            dataset, split, miner or (own if own in host().miners else "clip"), settings, progress=progress
        )
    _summary(made)
    if out is not None:
        with made.path.open("rb") as source, atomic_writer(out) as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    click.echo(str(out or made.path))


@options.command(short_help="Check that an option set is whole and fits.")
@click.argument("file", type=FILE)
@DATA_ROOT
def verify(file: Path, roots: tuple[Path, ...]) -> None:
    """Check that an option set FILE is whole and fits its dataset; compare it with the published set."""
    from fgvr_bench.core.digest import dataset_digest
    from fgvr_bench.core.option_compare import compare_options
    from fgvr_bench.core.option_files import OptionSet
    from fgvr_bench.core.published import examples_of, published_set

    loaded = OptionSet.load(file)
    split = loaded.header["split"]
    click.echo(f"whole: {len(loaded):,} rows, digest {loaded.digest}; each with its choices once")
    dataset = _open(loaded.header["dataset"], roots)
    stored = loaded.header.get("dataset_digest")
    loaded.check(dataset, split, dataset_digest(dataset, split, progress) if stored else None)
    loaded.for_examples(examples_of(loaded, dataset.examples(split)))
    images = "the images and labels are those it was made from" if stored else "made from images that are not named"
    click.echo(f"fits {dataset.card.name} {split}: every example has its row, the truth first; {images}")
    published = dataset.card.published
    if published is None or published.split != split:
        return
    try:
        compared = compare_options(file, published_set(dataset, split, progress), shown=0)
    except FgvrError as problem:
        note(f"not compared with the published set: {problem}")
        return
    click.echo(
        f"published set: {compared.questions:,} questions in both, {compared.same_set:.2%} with the same choices; "
        f"{compared.shared:.2%} of wrong choices shared"
    )


@options.command(short_help="Show where an option set came from, and questions.")
@click.argument("file", type=FILE)
@click.option("--html", type=FILE, help="Write a page with images, choices and similarities.")
@click.option("--examples", "wanted", type=click.IntRange(min=1), help="Questions to show.  [default: 10; page: 60]")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which questions are drawn.")
@DATA_ROOT
def show(file: Path, html: Path | None, wanted: int | None, seed: int, roots: tuple[Path, ...]) -> None:
    """Show where an option set FILE came from and some of its questions."""
    from fgvr_bench.core.option_files import OptionSet, iter_options
    from fgvr_bench.core.option_page import sample, write_page

    loaded = OptionSet.load(file)
    _summary(loaded)
    if html is not None:
        sheet = write_page(html, loaded, _open(loaded.header["dataset"], roots), wanted or 60, seed)
        lost = f", {sheet.unreadable} without a readable image" if sheet.unreadable else ""
        click.echo(f"{html}: {sheet.shown} questions{lost}")
        return
    drawn = set(sample(len(loaded), wanted or 10, seed))
    rows = [row for place, row in enumerate(iter_options(file)) if place in drawn]
    print_table(
        ["example", "truth", "rank", "others, the hardest last"],
        [(row.example_id, row.truth, row.truth_rank or "", " · ".join(row.choices[1:])) for row in rows],
    )


@options.command(short_help="Compare two option sets of one dataset.")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
def compare(a: Path, b: Path) -> None:
    """Compare option sets A and B of one dataset: overlap, difficulty, and where they differ."""
    from fgvr_bench.core.option_compare import compare_options

    found = compare_options(a, b)
    click.echo(f"{found.questions:,} questions in both; {found.only_a:,} in A only, {found.only_b:,} in B only")
    click.echo(f"same choices: {found.same_set:.2%} (in the same order: {found.same_order:.2%})")
    click.echo(f"wrong choices that both offer: {found.shared:.2%}\n")
    print_table(
        ["set", "questions", "choices", "its encoder is right", "mean margin"],
        [
            (
                which,
                each.questions,
                f"{each.mean_choices:g}",
                "" if each.first_share is None else f"{each.first_share:.1%}",
                "" if each.mean_margin is None else f"{each.mean_margin:.4f}",
            )
            for which, each in zip("AB", found.difficulty, strict=True)
        ],
    )
    if found.differing:
        click.echo("\nLabels whose wrong choices differ most:")
        print_table(
            ["label", "shared", "questions"],
            [(label, f"{share:.1%}", count) for label, share, count in found.by_label[:8]],
        )
        click.echo("\nQuestions that share fewest:")
        for one, other in found.differing:
            click.echo(f"{one.example_id}\n  A: {' · '.join(one.choices)}\n  B: {' · '.join(other.choices)}")


@options.command(short_help="Measure what options give away without a picture.")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Divides the questions into halves.")
@click.option("--write/--no-write", default=True, show_default=True, help="Put the figures into the set's header.")
def audit(files: Sequence[Path], seed: int, write: bool) -> None:
    """Measure how much the options of FILES give away to someone who sees no image."""
    from fgvr_bench.core.option_audit import SHARES
    from fgvr_bench.core.option_audit import audit as measure
    from fgvr_bench.core.option_files import OptionSet, annotate

    rows = []
    for file in files:
        loaded = OptionSet.load(file)
        with progress(f"auditing {file.name}", None):
            found = measure(loaded, seed)
        figures = (found.chance, found.naive_bayes.accuracy, found.strongest.accuracy)
        by_class = (found.strongest.class_accuracy, found.permuted.accuracy)
        curve = [accuracy for _, accuracy in found.curve]
        title = f"{loaded.header['dataset']} {loaded.header.get('miner', '')}"
        rows.append((title, *(f"{100 * each:.1f}" for each in (*figures, *by_class, *curve))))
        if write:
            annotate(file, "audit", found.as_json())
    click.echo("Accuracy in % without seeing an image:")
    heads = ["set", "chance", "naive Bayes", "strongest", "by class", "permuted"]
    print_table([*heads, *(f"learnt {share:.0%}" for share in SHARES)], rows)


for _command in (import_, export, fetch):
    options.add_command(_command)


def _open(name: str, roots: Sequence[Path]) -> Dataset:
    plugin, argument = host().datasets.find(name)
    return plugin.open(data_roots(roots), argument)


def _summary(made: OptionSet) -> None:
    """Print what a set is, and what its miner found on the way."""
    header = made.header
    click.echo(
        f"{len(made):,} questions of {header['dataset']} {header['split']}, "
        f"{header.get('k', '?')} choices, by {header.get('miner', 'an unnamed miner')}; digest {made.digest[:12]}"
    )
    found = header.get("found") or {}
    if bad := found.get("unreadable"):
        named = ", ".join(list(found["unreadable_images"])[:3])
        note(f"{bad} images cannot be read; their questions stay, with options by label alone: {named} ...")
    if fast := found.get("fast_pass"):
        click.echo(f"fast first pass; {fast['in_doubt']:,} images in doubt were computed again in {fast['against']}")
    if blind := header.get("audit"):
        click.echo(
            f"without an image {blind['strongest']['accuracy']:.1%} can be answered (chance {blind['chance']:.1%})"
        )
