"""``fgvr-bench run``: models on datasets, from questions to scored answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fgvr_bench.cli.launched import AutoOrNumber, as_launched, assists_launched
from fgvr_bench.cli.output import note, print_table, warn_of_plugins
from fgvr_bench.core.evaluate import evaluate_all
from fgvr_bench.core.evaluation import Evaluation, main_metric, percent
from fgvr_bench.core.experiment import Asked, combine, option_of, read_experiment
from fgvr_bench.core.host import host
from fgvr_bench.core.paths import data_roots
from fgvr_bench.core.settings import DEFAULT_PROTOCOL, RunSettings
from fgvr_bench.core.showing import TerminalWatcher
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import RunResult
from fgvr_bench.metrics.cautions import cautions


class Shard(click.ParamType[tuple[int, int] | None]):
    """A part of a run: the first of eight is ``1/8``."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int] | None:
        if value is None or isinstance(value, tuple):
            return value
        number, _, count = str(value).partition("/")
        if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return int(number), int(count)
        return self.fail(f"{value!r} is no part from 1/N to N/N", param, ctx)


class BatchSize(AutoOrNumber):
    """A number of questions, or ``auto``, which is None."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str | None:
        return None if value == "auto" else super().convert(value, param, ctx)


def model_args(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return the pairs of ``--model-arg``."""
    pairs = [item.partition("=") for item in given]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise click.BadParameter(f"{key!r} is not of the form key=value", ctx, param)
    return {key: value for key, _, value in pairs}


@click.command(short_help="Ask models the questions of datasets, and score the answers.")
@click.option(
    "--model",
    "-m",
    "models",
    multiple=True,
    help="A model's name; may be given several times.",
)
@click.option(
    "--dataset",
    "-d",
    "datasets",
    multiple=True,
    help="A dataset's name, or 'all'; several times.",
)
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A whole experiment, TOML or YAML: what is said here, or by variables, goes before what it says.",
)
@click.option("--split", default="test", show_default=True, help="Part of the dataset to ask about.")
@click.option("--subset", help="seen, unseen, another imported list, or a file of classes or examples.")
@click.option("--protocol", default=DEFAULT_PROTOCOL, show_default=True, help="How to ask, parse and score.")
@click.option("--task", help="A task of the protocol.  [default: its first]")
@click.option("--options", help="An option set's file, or a miner's name.  [default: the dataset's own]")
@click.option(
    "--limit", type=click.IntRange(min=1), help="Ask only N questions of the run's order, classes in proportion."
)
@click.option(
    "--permutations",
    default="1",
    show_default=True,
    metavar="cyclic|all|N",
    help="Ask each example in so many orders of its choices.",
)
@click.option("--blank-images", is_flag=True, help="Show grey pictures: what the text alone gives.")
@click.option(
    "--field-guide",
    is_flag=False,
    flag_value="dataset",
    metavar="[FILE]",
    help="Describe the choices before each question: in the dataset's own words, or those of a file (CSV or JSONL).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the order of questions and choices.")
@click.option("--decoding", help="generate, logprob or similarity.  [default: the model's first]")
@click.option("--full-text", is_flag=True, help="Generate to the end even where the verdict is settled.")
@click.option("--max-new-tokens", type=click.IntRange(min=1), help="Longest answer.  [default: the task's]")
@click.option("--checkpoint", help="A local folder, or a hub name, in place of the model's own.")
@click.option("--revision", help="Commit of the checkpoint.")
@click.option("--device", default="auto", show_default=True, help="cpu, mps, cuda, cuda:1 ...")
@click.option("--dtype", default="auto", show_default=True, help="float64, float32, bfloat16 or float16.")
@click.option(
    "--model-arg",
    "model_args",
    multiple=True,
    callback=model_args,
    metavar="KEY=VALUE",
    help="A setting of the model's own; several times.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the checkpoint (needs --revision).")
@click.option("--batch-size", type=BatchSize(), default="auto", show_default=True, help="Questions in a batch.")
@click.option(
    "--workers", type=click.IntRange(min=0), help="Processes that read images ahead.  [default: by the machine]"
)
@click.option(
    "--num-processes",
    type=AutoOrNumber(),
    help="Processes that each hold the model, one a GPU (auto: as many).  [default: 1, or those launched]",
)
@click.option(
    "--data-root",
    "data_roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder to look for datasets in; several times.  [default: FGVR_DATA]",
)
@click.option(
    "--results-dir", type=click.Path(path_type=Path), default="results", show_default=True, help="Folder for runs."
)
@click.option(
    "--shard",
    type=Shard(),
    help="Ask only part I of N; each in a folder of its own, for 'results merge'.  [needs --batch-size N]",
)
@click.option("--fresh", is_flag=True, help="Start over; by default a run goes on where it stopped.")
@click.option("--resume-across", is_flag=True, help="Go on though library versions changed.")
@click.option("--dry-run", is_flag=True, help="Say what would run, with counts and an estimate, and stop.")
def run(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    config: Path | None,
    dry_run: bool,
    **settings: Any,
) -> None:
    """Ask models the questions of datasets, and score the answers.

    A run that was killed goes on where it stopped when the same command is typed again, and ends with the same
    bytes.  What is done already is not done again.

    \b
    fgvr-bench run --model moth-clip --dataset moth-24
    fgvr-bench run --model finedefics --model idefics2 --dataset all
    fgvr-bench run --model hf:organisation/name --dataset folder:/my/photos --limit 200
    fgvr-bench run --config experiment.toml --dry-run
    """
    ctx = click.get_current_context()
    warn_of_plugins(host())
    if config is None:
        asked_models, asked_datasets, wanted = (
            list(map(Asked, models)),
            list(map(Asked, datasets)),
            RunSettings(**settings),
        )
    else:
        given = {name: value for name, value in settings.items() if ctx.get_parameter_source(name) in SAID}
        experiment = read_experiment(config, host())
        asked_models, asked_datasets, wanted = combine(experiment, models, datasets, given)
    for name, asked in (("model", asked_models), ("dataset", asked_datasets)):
        if not asked:
            where = f"{config} names no {name}, and neither does the command" if config else f"no {name} is named"
            raise click.UsageError(f"{where}. Name one with --{name}; see: fgvr-bench {name}s", ctx)
    wanted = replace(wanted, num_processes=as_launched(wanted.num_processes))
    if dry_run:
        _dry_run(asked_models, asked_datasets, wanted)
        return
    if assists_launched(asked_models, asked_datasets, wanted):
        return
    _show(evaluate_all(host(), asked_models, asked_datasets, wanted, TerminalWatcher()), wanted)


SAID = frozenset({ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT})
"""Whence a setting comes that goes before what a file says."""


def _show(evaluation: Evaluation, settings: RunSettings) -> None:
    if evaluation.results:
        print_table(
            ["model", "dataset", "task", "accuracy", "questions", "unparsed", "failed", "results in"],
            [_row(result) for result in evaluation.results],
        )
    for result in evaluation.results:
        if result.failed:
            note(
                f"{result.failed:,} of {result.questions:,} questions of {result.model} on {result.dataset} failed; "
                f'the reasons stand under "error" in {result.folder}.'
            )
        for caution in cautions(result.metrics, result.questions):
            note(f"Caution, {result.model} on {result.dataset}: {caution}")
        if shared := _train_images(result, settings):
            are = "are train images" if shared > 1 else "is a train image"
            note(
                f"Caution, {result.model} on {result.dataset}: {shared:,} of its {_split(result)} images {are} "
                "byte for byte (fgvr-bench datasets verify)."
            )
        if not result.complete and settings.shard is not None:
            number, count = settings.shard
            note(
                f"{result.model} on {result.dataset}: part {number} of {count}. Once all are done: "
                f"fgvr-bench results merge {settings.runs_dir.parent} --into {settings.results_dir}"
            )
        elif not result.complete:
            note(f"{result.model} on {result.dataset} is a partial run (--limit); no board takes it.")
    _exit_with(evaluation.errors)


def _train_images(result: RunResult, settings: RunSettings) -> int | None:
    """Return how many of the split's images `datasets verify` has found among the train images, where it ran."""
    from fgvr_bench.core.overlap import known_overlap

    try:
        plugin, argument = host().datasets.find(result.dataset)
        return known_overlap(plugin.open(data_roots(settings.data_roots), argument), _split(result))
    except FgvrError:  # the run is done; its files may have been taken away since
        return None


def _split(result: RunResult) -> str:
    asked: Any = result.inputs["dataset"]
    return str(asked["split"])


def _exit_with(errors: Sequence[FgvrError]) -> None:
    """Show every error and exit, if there is one."""
    from fgvr_bench.cli.main import show_error

    for number, error in enumerate(errors):
        if number:
            note("")
        show_error(error)
    if errors:
        raise SystemExit(max(error.exit_status for error in errors))


def _row(result: RunResult) -> tuple[object, ...]:
    return (
        result.model,
        result.dataset,
        result.inputs["task"],
        percent(main_metric(result)),
        f"{result.questions:,}",
        percent(result.metrics.get("unparsed")),
        f"{result.failed:,}",
        str(result.folder),
    )


def _dry_run(models: Sequence[Asked], datasets: Sequence[Asked], settings: RunSettings) -> None:
    from fgvr_bench.core.outlook import look_ahead

    rows, errors = look_ahead(host(), list(models), list(datasets), settings, TerminalWatcher())
    if rows:
        own = any(row.own for row in rows)
        print_table(
            ["model", "dataset", "questions", "answered", "to ask", "options", "about", "run"] + ["with"] * own,
            [
                (
                    row.model,
                    row.dataset,
                    f"{row.questions:,}",
                    f"{row.answered:,}",
                    f"{row.to_ask:,}",
                    row.options,
                    row.estimate,
                    row.run_id or "known once the options are mined",
                    *(
                        [", ".join(f"{option_of(name)}={_spelt(value)}" for name, value in row.own.items())]
                        if own
                        else []
                    ),
                )
                for row in rows
            ],
        )
    _exit_with(errors)


def _spelt(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={each}" for name, each in value.items())
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
