"""``fgvr-bench finedefics describe`` and ``build-data``: translate, call one function, echo."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from finedefics.data.building import Built
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
    """Add the options that say how many images of which split are trained on."""
    for option in (
        click.option("--seed", type=int, default=0, show_default=True, help="Decides what is drawn by lot."),
        click.option("--shots", type=click.IntRange(min=1), help="Images of each class.  [default: all]"),
        click.option("--split", default="train", show_default=True, help="Part of the dataset; never test."),
        click.option(
            "--data-root",
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
@click.option("--classes", help="Only these classes: a file with one a line, or an imported list's name.")
@click.option("--hold-out", help="Classes to leave out: a list as for --classes.")
@selection
@click.option("--checkpoint", help="Local folder or hub name, in place of --model's own.")
@click.option("--revision", help="Commit of the checkpoint.")
@click.option("--model-arg", multiple=True, callback=pairs, metavar="KEY=VALUE", help="For --model.")
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
    selected = select(open_dataset(host(), name, given["data_root"], wanted.split), wanted, progress)
    header, rows = from_metadata(selected, form)
    _show(write_descriptions(out, {**selected.header(wanted), **header}, rows))


def _with_models(
    dataset: str, model: str | None, out: Path, given: dict[str, Any], dry_run: bool, yes: bool, sample: int
) -> None:
    from fgvr_bench.cli.output import warn_of_plugins
    from fgvr_bench.core.host import host
    from fgvr_bench.core.showing import TerminalWatcher
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
            args=given["model_arg"],
        ),
        batch_size=given["batch_size"],
        workers=given["workers"],
        retry_failed=given["retry_failed"],
        resume_across=given["resume_across"],
        data_roots=given["data_root"],
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


def _by_dataset(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Read lists of classes: ``FILE`` for every dataset, ``DATASET=FILE`` for one."""
    found: dict[str, str] = {}
    for item in given:
        name, equals, spec = item.rpartition("=")
        key, value = (name, spec) if equals and name and not Path(item).exists() else ("", item)
        if key in found:
            raise click.BadParameter(f"two lists for {key or 'every dataset'}", ctx, param)
        found[key] = value
    return found


def _names(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Read names, several in one value separated by commas; a name with an argument (``folder:``) is one."""
    parts = (part for item in given for part in ([item] if ":" in item else item.split(",")))
    return tuple(part.strip() for part in parts if part.strip())


@click.command(name="build-data", short_help="Make the training files of both stages.")
@click.option("--dataset", "-d", multiple=True, required=True, callback=_names, help="Name; several times.")
@click.option("--descriptions", type=FILE, multiple=True, help="File of describe, one a dataset.")
@click.option("--out", type=FOLDER, required=True, help="Folder for the files.")
@click.option(
    "--options",
    multiple=True,
    default=("clip",),
    show_default=True,
    help="Who chooses wrong answers: clip, closed, random, taxonomy ..., or files of option sets, one a dataset.",
)
@click.option("--negatives-from", multiple=True, help="The same for stage I's negatives.  [default: as --options]")
@click.option(
    "--negatives", type=click.IntRange(1, 25), default=3, show_default=True, help="Negatives of an image in stage I."
)
@click.option("--classes", multiple=True, callback=_by_dataset, help="Only these classes: FILE, or DATASET=FILE.")
@click.option("--hold-out", multiple=True, callback=_by_dataset, help="Leave these out, of negatives and choices too.")
@selection
@click.option("--only", type=click.Choice(["pretrain", "finetune"]), help="Make one of the two files.")
@click.option(
    "--align-answer",
    type=click.Choice(["name", "description"]),
    default="name",
    show_default=True,
    help="What stage I's question is answered by.",
)
@click.option("--names-for-descriptions", is_flag=True, help="Ablation: names in place of descriptions.")
@click.option("--skip-missing", is_flag=True, help="Leave out images that have no description.")
@click.option("--prompts", type=FOLDER, help="Folder with wordings of one's own (describe --write-prompts).")
@click.option("--miner-arg", multiple=True, callback=pairs, metavar="KEY=VALUE", help="For the miner.")
@click.option("--device", default="auto", show_default=True, help="For mining: cpu, mps, cuda, cuda:1 ...")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images in a batch.  [default: the miner's choice]")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read images.  [default: one a core]")
def build_data(
    dataset: tuple[str, ...],
    data_root: tuple[Path, ...],
    names_for_descriptions: bool,
    miner_arg: dict[str, str],
    device: str,
    batch_size: int | None,
    workers: int | None,
    only: str | None,
    **given: Any,
) -> None:
    """Make the training files of both stages from the train splits of datasets.

    pretrain.csv (stage I) has a row an image, with its description and those of similar wrong classes;
    finetune.csv (stage II) two: an open question, and one with four choices.  Images of test splits are kept out.

    \b
    fgvr-bench finedefics build-data --dataset moth-24 --descriptions moths.jsonl --out data
    fgvr-bench finedefics build-data --dataset bird-200 --descriptions birds.jsonl --options closed --shots 8 --out data
    """
    from fgvr_bench.cli.output import progress, warn_of_plugins
    from fgvr_bench.core.host import host
    from fgvr_bench.interfaces import MiningSettings
    from finedefics.data.building import build_data as build
    from finedefics.data.settings import BuildSettings

    warn_of_plugins(host())
    stages: dict[str | None, tuple[Any, ...]] = {"pretrain": ("align",), "finetune": ("tune",)}
    mining = MiningSettings(device=device, batch_size=batch_size, workers=workers, args=miner_arg)
    settings = BuildSettings(
        datasets=dataset,
        names=names_for_descriptions,
        stages=stages.get(only, ("align", "tune")),
        mining=mining,
        data_roots=data_root,
        **given,
    )
    made = build(host(), settings, progress)
    _show_built(made)


def _show_built(made: Built) -> None:
    from fgvr_bench.cli.output import note, print_table
    from finedefics.data.choices import leaks

    heads = ["dataset", "images", "classes", "of each", "choices", "negatives", "image-blind", "chance"]
    rows = []
    for name, one in made.report["datasets"].items():
        audit = made.audits.get(name)
        fewest, most = one["images_of_a_class"]
        rows.append(
            (
                name,
                f"{one['images']:,}",
                one["classes"],
                fewest if fewest == most else f"{fewest} to {most}",
                one["options"]["miner"] if one["options"] else "",
                one["negatives"]["miner"] if one["negatives"] else "",
                f"{audit.strongest.class_accuracy:.1%}" if audit else "",
                f"{audit.chance:.1%}" if audit else "",
            )
        )
    print_table(heads, rows)
    for name, audit in made.audits.items():
        if audit is None:
            note(f"{name}: too few questions to say how much their choices give away.")
        elif leaks(audit):
            note(
                f"Caution, {name}: {audit.strongest.class_accuracy:.1%} of the questions can be answered without the "
                f"picture (mean over classes; chance {audit.chance:.1%}). A model tuned on them may learn to read the "
                "choices instead of the picture; choices that give nothing away: --options closed"
            )
    for caution in made.cautions:
        note(f"Caution: {caution}")
    for name, file in made.report["files"].items():
        click.echo(f"{made.out / name}: {file['rows']:,} rows")
    click.echo(
        f"{made.out / 'examples.html'}: some of them to look at; {made.out / 'report.json'}: where they come from"
    )
