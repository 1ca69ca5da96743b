"""``fgvr-bench finedefics describe`` and ``build-data``: translate, call one function, echo."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from finedefics.data.descriptions import Descriptions
    from finedefics.data.outlook import Cost

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

Command = TypeVar("Command", bound=Callable[..., Any])


def pairs(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Read ``key=value`` options."""
    made = [item.partition("=") for item in given]
    for key, equals, _ in made:
        if not (key and equals):
            raise click.BadParameter(f"{key!r} is not of the form key=value", ctx, param)
    return {key: value for key, _, value in made}


def selection(command: Command) -> Command:
    """Add the options that say which images are trained on."""
    for option in (
        click.option("--seed", type=int, default=0, show_default=True, help="Decides what is drawn by lot."),
        click.option("--shots", type=click.IntRange(min=1), help="Images of each class.  [default: all]"),
        click.option("--hold-out", help="Classes to leave out: a list as for --classes."),
        click.option("--classes", help="Only these classes: a file with one a line, or an imported list's name."),
        click.option("--split", default="train", show_default=True, help="Part of the dataset; never test."),
        click.option(
            "--data-root",
            "data_roots",
            multiple=True,
            type=click.Path(path_type=Path),
            help="Folder to look for datasets in; several times.  [default: FGVR_DATA, then fetched data]",
        ),
    ):
        command = option(command)
    return command


@click.command(short_help="Describe training images by their attributes.")
@click.option("--dataset", "-d", help="The dataset's name.")
@click.option("--model", "-m", help="Model for every step that has none of its own.")
@click.option("--attribute-model", help="Model that says which attributes tell the classes apart.")
@click.option("--reader-model", help="Model that reads the attributes off the images.")
@click.option("--summary-model", help="Model that sums up what was read.")
@click.option("--out", type=FILE, help="File to write, JSON Lines.")
@click.option(
    "--from-metadata",
    type=click.Choice(["class", "image"]),
    is_flag=False,
    flag_value="class",
    help="Ask no model: take the dataset's own description of each class, or the attributes of each image.",
)
@click.option("--attributes", type=FILE, help="File of attributes, one a line, in place of the first step.")
@click.option(
    "--most-attributes", type=click.IntRange(1, 50), default=8, show_default=True, help="Attributes to ask for."
)
@click.option("--by-taxonomy", is_flag=True, help="Attributes for each genus (lowest rank) on its own.")
@click.option("--prompts", type=FOLDER, help="Folder of prompts in place of the default ones.")
@click.option("--write-prompts", type=FOLDER, help="Copy the default prompts into this folder, to edit, and stop.")
@selection
@click.option("--checkpoint", help="Local folder or hub name, in place of --model's own.")
@click.option("--revision", help="Commit of the checkpoint.")
@click.option("--model-arg", "model_args", multiple=True, callback=pairs, metavar="KEY=VALUE", help="For --model.")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the checkpoint (needs --revision).")
@click.option("--device", default="auto", show_default=True, help="cpu, mps, cuda, cuda:1 ...")
@click.option("--dtype", default="auto", show_default=True, help="float64, float32, bfloat16 or float16.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Questions in a batch.  [default: the model's]")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read images.  [default: by the machine]")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Batches that are timed for the estimate; their answers count.",
)
@click.option("--dry-run", is_flag=True, help="Show the estimate and stop.")
@click.option("--yes", "-y", is_flag=True, help="Begin without a question.")
@click.option("--retry-failed", is_flag=True, help="Ask again what failed.")
@click.option("--resume-across", is_flag=True, help="Go on though library versions changed.")
def describe(
    dataset: str | None,
    model: str | None,
    out: Path | None,
    from_metadata: str | None,
    write_prompts: Path | None,
    dry_run: bool,
    yes: bool,
    sample: int,
    **given: Any,
) -> None:
    """Describe the training images of a dataset by the attributes that tell its classes apart.

    Three steps, each by any model: which attributes tell these classes apart; what each image shows of them; and
    one sentence that sums that up.  What was killed goes on where it stopped when the same command is typed again.

    \b
    fgvr-bench finedefics describe --dataset moth-24 --from-metadata --out moths.jsonl
    fgvr-bench finedefics describe --dataset bird-200 --model idefics2 --out birds.jsonl
    """
    if write_prompts is not None:
        _write_prompts(write_prompts)
        return
    for name, value in (("--dataset", dataset), ("--out", out)):
        if value is None:
            raise click.UsageError(f"Missing option '{name}'.")
    assert dataset is not None  # noqa: S101 - looked at just now
    assert out is not None  # noqa: S101
    if from_metadata is not None:
        _from_metadata(dataset, out, from_metadata, given)
        return
    _with_models(dataset, model, out, given, dry_run, yes, sample)


def _write_prompts(folder: Path) -> None:
    from finedefics.data.wordings import write_prompts

    made = write_prompts(folder)
    click.echo("\n".join(map(str, made)) if made else f"every prompt is in {folder} already; none was changed")


def _wanted(given: dict[str, Any]) -> Any:
    from finedefics.data.selecting import Wanted

    return Wanted(given["split"], given["classes"], given["hold_out"], given["shots"], given["seed"])


def _from_metadata(name: str, out: Path, form: Any, given: dict[str, Any]) -> None:
    from fgvr_bench.cli.output import progress
    from fgvr_bench.core.host import host
    from finedefics.data.descriptions import writable, write_descriptions
    from finedefics.data.metadata import from_metadata
    from finedefics.data.selecting import open_dataset, select

    writable(out)
    wanted = _wanted(given)
    selected = select(open_dataset(host(), name, given["data_roots"], wanted.split), wanted, progress)
    header, rows = from_metadata(selected, form)
    _show(write_descriptions(out, {**selected.header(wanted), **header}, rows))


def _with_models(
    dataset: str, model: str | None, out: Path, given: dict[str, Any], dry_run: bool, yes: bool, sample: int
) -> None:
    from fgvr_bench.cli.output import warn_of_plugins
    from fgvr_bench.cli.run import TerminalWatcher
    from fgvr_bench.core.host import host
    from fgvr_bench.interfaces import ModelSettings
    from finedefics.data.describing import STEPS, DescribeSettings
    from finedefics.data.describing import describe as make

    own = dict(zip(STEPS, (given["attribute_model"], given["reader_model"], given["summary_model"]), strict=True))
    if model is None and not all(own[step] for step in STEPS if step != "attributes" or not given["attributes"]):
        raise click.UsageError("Missing option '--model' (or --from-metadata, where the dataset describes itself).")
    warn_of_plugins(host())
    settings = DescribeSettings(
        dataset=dataset,
        model=model or next(value for value in own.values() if value),
        out=out,
        models={step: value for step, value in own.items() if value},
        wanted=_wanted(given),
        by_taxonomy=given["by_taxonomy"],
        attributes=given["attributes"],
        most_attributes=given["most_attributes"],
        prompts=given["prompts"],
        model_settings=ModelSettings(
            checkpoint=given["checkpoint"],
            revision=given["revision"],
            device=given["device"],
            dtype=given["dtype"],
            trust_remote_code=given["trust_remote_code"],
            args=given["model_args"],
        ),
        batch_size=given["batch_size"],
        workers=given["workers"],
        retry_failed=given["retry_failed"],
        resume_across=given["resume_across"],
        data_roots=given["data_roots"],
    )
    agree = None if yes and not dry_run else lambda costs: _agree(costs, dry_run)
    made = make(host(), settings, TerminalWatcher(), agree, sample)
    if made is not None:
        _show(made)


def _agree(costs: Sequence[Cost], dry_run: bool) -> bool:
    from fgvr_bench.cli.output import print_table
    from fgvr_bench.errors import UsageError
    from finedefics.data.outlook import HEADS

    print_table(HEADS, [cost.cells() for cost in costs])
    if dry_run or not any(cost.open for cost in costs):
        return not dry_run
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to say whether to begin.", hint="Type the command again with --yes.")
    return click.confirm("Begin?")


def _show(made: Descriptions) -> None:
    from fgvr_bench.cli.output import note, print_table

    shown = [made.rows[place] for place in sorted({0, len(made.rows) // 2, len(made.rows) - 1})]
    print_table(
        ["image", "label", "description"],
        [(row.example_id, row.label, textwrap.shorten(row.description, 100, placeholder=" ...")) for row in shown],
    )
    for caution in made.cautions():
        note(f"Caution: {caution}")
    click.echo(f"{made.path}: {len(made.rows):,} images of {made.dataset} {made.header['split']} described")
