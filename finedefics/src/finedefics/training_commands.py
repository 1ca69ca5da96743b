"""``fgvr-bench finedefics align | tune | merge | train``: translate, call one function, echo."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from finedefics.presets import PRECISIONS, PRESETS, STAGES, Recipe, preset
from finedefics.sharding import SHARDINGS

if TYPE_CHECKING:
    from finedefics.stages import Trained

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
KINDS: dict[str, Any] = {"int": int, "float": float, "str": str}
CONTRASTIVE = ("without", "contrastive_weight", "temperature")
"""Settings that stage II has no use for."""
CONDUCT = ("save_every", "keep", "log_every", "workers", "trackers", "sharding")

Command = TypeVar("Command", bound=Callable[..., Any])


def pairs(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Read ``key=value`` options."""
    made = [item.partition("=") for item in given]
    for key, equals, _ in made:
        if not (key and equals):
            raise click.BadParameter(f"{key!r} is not of the form key=value", ctx, param)
    return {key.replace("-", "_"): value for key, _, value in made}


def recipe_options(*stages: str) -> Callable[[Command], Command]:
    """Add an option for every field of `Recipe`, with the preset's value in its help."""

    def add(command: Command) -> Command:
        for entry in reversed(fields(Recipe)):
            if "align" in stages or entry.name not in CONTRASTIVE:
                command = _recipe_option(entry, stages)(command)
        return command

    return add


def _recipe_option(entry: Field[Any], stages: tuple[str, ...]) -> Callable[[Command], Command]:
    text, flag = entry.metadata["help"], f"--{entry.name.replace('_', '-')}"
    plain, choices = str(entry.type).removesuffix(" | None"), entry.metadata.get("choices", ())
    if plain == "bool":
        return click.option(f"{flag}/--no-{flag[2:]}", default=None, help=text)
    if plain == "tuple[str, ...]":
        return click.option(flag, multiple=True, type=click.Choice(choices), help=f"{text}  Several times.")
    values = dict.fromkeys(str(getattr(preset("paper", stage), entry.name)) for stage in stages)
    shown = "" if "None" in values else f"  [paper: {', '.join(values)}]"
    return click.option(flag, type=click.Choice(choices) if choices else KINDS[plain], help=text + shown)


def conduct_options(command: Command) -> Command:
    """Add the options that say how training is carried out."""
    for option in (
        click.option("--fresh", is_flag=True, help="Start over; by default a run goes on where it stopped."),
        click.option(
            "--tracker", "trackers", multiple=True, metavar="NAME", help="tensorboard, wandb ...; several times."
        ),
        click.option(
            "--workers", type=click.IntRange(min=0), default=None, help="Processes that read images.  [default: 4]"
        ),
        click.option(
            "--log-every", type=click.IntRange(min=1), default=10, show_default=True, help="Steps between log lines."
        ),
        click.option("--keep", type=click.IntRange(min=1), default=2, show_default=True, help="Checkpoints kept."),
        click.option(
            "--save-every",
            type=click.IntRange(min=1),
            default=100,
            show_default=True,
            help="Steps between checkpoints.",
        ),
        click.option(
            "--shard",
            "sharding",
            type=click.Choice(SHARDINGS),
            help="Share the model out over GPUs: FSDP 2, DeepSpeed's ZeRO.  [default: as accelerate is configured]",
        ),
        click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True),
        click.option("--images-root", type=FOLDER, help="Folder of relative image paths.  [default: the file's]"),
        click.option("--preset", "preset_name", type=click.Choice(list(PRESETS)), default="paper", show_default=True),
    ):
        command = option(command)
    return command


@click.command(short_help="Stage I: align images, attributes and categories.")
@click.argument("rows", type=FILE)
@click.option("--model", "-m", required=True, help="Checkpoint to start from: a folder or a hub name.")
@click.option("--output", "-o", type=FOLDER, required=True, help="Folder of the run.")
@conduct_options
@recipe_options("align")
def align(rows: Path, **given: Any) -> None:
    """Stage I: attribute-augmented contrastive alignment on the rows of a CSV file.

    What was killed goes on where it stopped when the same command is typed again, and ends with the same weights.
    Several GPUs: put "accelerate launch -m" or "torchrun --nproc-per-node 8 -m" before "fgvr_bench finedefics align".

    \b
    fgvr-bench finedefics align pretrain.csv --model HuggingFaceM4/idefics2-8b --output runs/align
    """
    _stage("align", rows, given)


@click.command(short_help="Stage II: tune on questions and answers.")
@click.argument("rows", type=FILE)
@click.option("--model", "-m", required=True, help="Checkpoint to start from, usually stage I's, merged.")
@click.option("--output", "-o", type=FOLDER, required=True, help="Folder of the run.")
@conduct_options
@recipe_options("tune")
def tune(rows: Path, **given: Any) -> None:
    """Stage II: classification-centred instruction tuning on the rows of a CSV file.

    \b
    fgvr-bench finedefics tune finetune.csv --model runs/aligned --output runs/tune
    """
    _stage("tune", rows, given)


def _stage(stage: str, rows: Path, given: dict[str, Any]) -> None:
    from finedefics.stages import train_stage

    trained = train_stage(
        stage,
        rows,
        given.pop("model"),
        recipe=preset(given.pop("preset_name"), stage).changed(**_overrides(given)),
        conduct=_conduct(given, given.pop("output")),
        images_root=given.pop("images_root"),
        device=given.pop("device"),
        fresh=given.pop("fresh"),
        watcher=_watcher(),
    )
    if _is_first():
        _show_trained(trained)


def _show_trained(trained: Trained) -> None:
    last = trained.records[-1]
    click.echo(f"Stage {trained.stage} is done: {last.words()}")
    click.echo(f"Next: fgvr-bench finedefics merge {trained.output} --output {trained.output}-merged")


@click.command(short_help="Make a plain checkpoint of a run.")
@click.argument("run", type=FOLDER)
@click.option("--output", "-o", type=FOLDER, required=True, help="Folder to be made.")
@click.option("--step", type=click.IntRange(min=1), help="Checkpoint to take.  [default: the newest whole one]")
@click.option(
    "--into",
    type=click.Choice(["trained-on", "original"]),
    default="trained-on",
    show_default=True,
    help="After QLoRA: the 4-bit weights that the adapters were trained on, taken back, or those before them.",
)
@click.option(
    "--dtype",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Of the written weights; auto is what the run computed in.",
)
@click.option("--model", "-m", help="Where the run's starting model lies now, if it was moved.")
@click.option("--fresh", is_flag=True, help="Write anew what is there already.")
def merge(run: Path, output: Path, **given: Any) -> None:
    """Make a plain checkpoint of a run, with processor, templates and model card.

    \b
    fgvr-bench finedefics merge runs/tune --output runs/finedefics
    fgvr-bench run --model finedefics --checkpoint runs/finedefics --dataset bird-200
    """
    from fgvr_bench.cli.output import note
    from finedefics.merging import merge as merge_run

    note(f"Merging {run} ...")
    click.echo(f"The merged checkpoint is in {merge_run(run, output, **given)}.")


@click.command(short_help="The whole recipe: align, merge, tune, merge.")
@click.option("--align-rows", type=FILE, help="Rows of stage I (pretrain.csv).")
@click.option("--tune-rows", type=FILE, required=True, help="Rows of stage II (finetune.csv).")
@click.option("--model", "-m", required=True, help="Checkpoint to start from: a folder or a hub name.")
@click.option("--output", "-o", type=FOLDER, required=True, help="Folder of everything that is made.")
@click.option("--without-stage-one", is_flag=True, help="Tune the starting model itself (ablation).")
@click.option("--align", "align_only", multiple=True, callback=pairs, metavar="KEY=VALUE", help="For stage I only.")
@click.option("--tune", "tune_only", multiple=True, callback=pairs, metavar="KEY=VALUE", help="For stage II only.")
@click.option("--eval-dataset", "eval_datasets", multiple=True, help="Evaluate after each stage; several times.")
@click.option("--eval-base", is_flag=True, help="Evaluate the starting model too.")
@click.option("--eval-limit", type=click.IntRange(min=1), help="Questions of each dataset.  [default: all]")
@click.option("--eval-task", help="A task of the protocol.  [default: its first]")
@click.option("--eval-options", help="An option set's file, or a miner's name.  [default: the dataset's own]")
@click.option("--eval-model", help="Model plugin that loads the checkpoints.  [default: by their architecture]")
@click.option(
    "--data-root", "data_roots", multiple=True, type=click.Path(path_type=Path), help="Folder of datasets; several."
)
@click.option("--into", type=click.Choice(["trained-on", "original"]), default="trained-on", show_default=True)
@click.option("--dtype", type=click.Choice(PRECISIONS), default="auto", show_default=True, help="Of merged weights.")
@conduct_options
@recipe_options(*STAGES)
def train(align_rows: Path | None, tune_rows: Path, model: str, output: Path, **given: Any) -> None:
    """The whole recipe: stage I, merge, stage II, merge; evaluated in between where datasets are named.

    Options of the recipe hold for both stages; --align and --tune set one of them for one stage.  What is done
    already is not done again.

    \b
    fgvr-bench finedefics train --align-rows pretrain.csv --tune-rows finetune.csv \\
        --model HuggingFaceM4/idefics2-8b --output runs/mine --eval-dataset bird-200
    """
    from fgvr_bench.core.showing import TerminalWatcher
    from finedefics.whole import Examination
    from finedefics.whole import train as train_all

    both, name = _overrides(given), given.pop("preset_name")
    recipes = {stage: preset(name, stage).changed(**{**both, **_read(given.pop(f"{stage}_only"))}) for stage in STAGES}
    asked = {name: given.pop(f"eval_{name}") for name in ("limit", "task", "options")}
    asked["data_roots"] = given.pop("data_roots")
    exam = Examination(given.pop("eval_datasets"), given.pop("eval_base"), given.pop("eval_model"), asked)
    made = train_all(
        align_rows,
        tune_rows,
        model,
        output,
        align_recipe=recipes["align"],
        tune_recipe=recipes["tune"],
        examination=exam,
        conduct=_conduct(given, None),
        watcher=_watcher(),
        examiner=TerminalWatcher(),
        **given,
    )
    if _is_first():
        _show_made(made)


def _show_made(made: Any) -> None:
    from fgvr_bench.cli.output import print_table
    from fgvr_bench.core.evaluation import main_metric, percent

    if made.evaluations:
        rows = [
            (stage, run.dataset, percent(main_metric(run)), f"{run.questions:,}", str(run.folder))
            for stage, run in made.evaluations
        ]
        print_table(["checkpoint", "dataset", "accuracy", "questions", "results in"], rows)
    click.echo(f"The trained checkpoint is in {made.tuned}.")


def _overrides(given: dict[str, Any]) -> dict[str, Any]:
    """Take the recipe's options out of `given`; return those that were typed."""
    taken = {entry.name: given.pop(entry.name, None) for entry in fields(Recipe)}
    return {name: value for name, value in taken.items() if value not in (None, ())}


def _read(pairs: dict[str, str]) -> dict[str, Any]:
    """Read the values of a recipe's settings."""
    kinds = {entry.name: str(entry.type).removesuffix(" | None") for entry in fields(Recipe)}
    values: dict[str, Any] = {}
    for name, text in pairs.items():
        kind = kinds.get(name, "str")
        try:
            if kind == "bool":
                values[name] = {"yes": True, "true": True, "no": False, "false": False}[text.lower()]
            else:
                values[name] = tuple(text.split(",")) if kind.startswith("tuple") else KINDS[kind](text)
        except (KeyError, ValueError) as error:
            raise click.BadParameter(f"{name}={text} is no {kind}") from error
    return values


def _conduct(given: dict[str, Any], output: Path | None) -> Any:
    from finedefics.launching import Conduct

    taken = {name: given.pop(name) for name in CONDUCT}
    if taken["workers"] is None:
        taken["workers"] = min(4, os.cpu_count() or 1)
    return Conduct(output, **taken)


def _is_first() -> bool:
    """Say whether this is the first of the processes that a launcher started, the one that talks."""
    return os.environ.get("RANK", "0") == "0"


def _watcher() -> Any:
    """Return who shows on the terminal how training goes."""
    from finedefics.terminal import TerminalTrainingWatcher

    return TerminalTrainingWatcher(sys.stderr.isatty())
