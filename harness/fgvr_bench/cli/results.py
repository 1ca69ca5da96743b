"""``fgvr-bench results``: what becomes of results that exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from fgvr_bench.cli.output import note
from fgvr_bench.core.evaluate import main_metric
from fgvr_bench.core.host import host
from fgvr_bench.core.importing import AnswerFormat, import_run
from fgvr_bench.protocols.foci_import import TASK, import_answers, read_rows
from fgvr_bench.types import Question, Response


def _read_foci(text: str, dataset: str, split: str) -> Iterator[tuple[Question, Response]]:
    return import_answers(read_rows(text), dataset, split)


FORMATS = {"foci": AnswerFormat("foci", "foci", TASK, _read_foci)}


@click.group(short_help="Import answers that others published.")
def results() -> None:
    """Import answers that others published."""


@results.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), default="foci", show_default=True)
@click.option("--dataset", "-d", required=True, help="The dataset that was asked about; its images are not needed.")
@click.option("--model", "-m", required=True, help="The name that the run goes by.")
@click.option("--split", default="test", show_default=True)
@click.option("--results-dir", type=click.Path(path_type=Path), default="results", show_default=True)
def import_(file: Path, kind: str, dataset: str, model: str, split: str, results_dir: Path) -> None:
    """Import FILE, the answers of a model, as a run; they are scored as the published code scores them.

    \b
    fgvr-bench results import answers.json --dataset bird-200 --model finedefics-published
    """
    made = import_run(host(), file, FORMATS[kind], dataset, model, results_dir, split)
    click.echo(f"{made.model} on {made.dataset}: accuracy {main_metric(made)!r}, {made.questions:,} questions")
    note(f"in {made.folder}; on the board: fgvr-bench leaderboard build {results_dir}")
