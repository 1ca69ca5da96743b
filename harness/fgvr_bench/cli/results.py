"""``fgvr-bench results``: what becomes of results that exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgvr_bench.cli.output import inert, note, progress
from fgvr_bench.core.evaluation import main_metric, percent
from fgvr_bench.core.files import in_pieces, json_pieces
from fgvr_bench.core.host import host
from fgvr_bench.core.importing import AnswerFormat, import_run
from fgvr_bench.errors import FgvrError
from fgvr_bench.metrics.cautions import cautions
from fgvr_bench.protocols.foci_import import TASK, import_answers, read_rows
from fgvr_bench.types import Question, Response

if TYPE_CHECKING:
    from fgvr_bench.core.verify_runs import Verified


def _read_foci(text: str, dataset: str, split: str) -> Iterator[tuple[Question, Response]]:
    return import_answers(read_rows(text), dataset, split)


FORMATS = {"foci": AnswerFormat("foci", "foci", TASK, _read_foci)}


@click.group(short_help="Verify, merge and import results.")
def results() -> None:
    """Verify, merge and import results."""


@results.command("import", short_help="Import answers that others published.")
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
    click.echo(f"{made.model} on {made.dataset}: accuracy {percent(main_metric(made))}, {made.questions:,} questions")
    for caution in cautions(made.metrics, made.questions):
        note(f"Caution, {made.model} on {made.dataset}: {caution}")
    note(f"in {made.folder}; on the board: fgvr-bench leaderboard build {results_dir}")


@results.command(short_help="Check that runs are what they claim to be.")
@click.argument("places", nargs=-1, metavar="[RUN_OR_FOLDER]...", type=click.Path(path_type=Path))
@click.option(
    "--published",
    is_flag=True,
    help="Every run has to have been asked its dataset's own option set, which is downloaded or mined where it is "
    "not here; what cannot be held against it is wrong.",
)
@click.option("--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--data-root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder to look for datasets in; several times.",
)
def verify(places: tuple[Path, ...], published: bool, kind: str, roots: tuple[Path, ...]) -> None:
    """Check that all runs at or below each RUN_OR_FOLDER (results) are what they claim to be.

    Checked are: the form of the files; the digests of run.json, inputs and responses; that every question is there
    once, made as its task makes it; right answers and choices, against the dataset and the option set where they are
    on this machine; and that the answers, judged again, give every figure exactly. A line a run says ok or what is
    wrong, and what could not be checked. Exit status 1 where anything is wrong.

    Digests find damage, not fraud: whoever makes answers up can make their digests too.

    \b
    fgvr-bench results verify
    fgvr-bench results verify results/bird-200/mine/3f2a91c07b5e --published
    """
    from fgvr_bench.core.known import Knowledge
    from fgvr_bench.core.verify_runs import Verifier

    knowledge = Knowledge(host(), roots, obtain=published, progress=progress)
    found = Verifier(host(), knowledge, published).verify(places or (Path("results"),), progress)
    if kind == "json":
        told = {"format": "fgvr-bench/verification", "version": 1, "runs": map(_row, found)}
        for text in in_pieces(json_pieces(told, indent=2)):
            click.echo(text, nl=False)
        click.echo()
    else:
        for each in found:
            click.echo(inert(" ".join(_line(each).split())))
    counts = Counter(each.state for each in found)
    states = ("ok", "wrong", "unfinished")
    said = ", ".join(f"{counts[state]:,} {state}" for state in states if counts[state] or state == "ok")
    note(f"{said}. Digests find damage, not fraud.")
    if counts["wrong"]:
        raise FgvrError(f"{counts['wrong']:,} of {len(found):,} runs are not what they claim to be.")


@results.command(short_help="Bring runs of several folders into one.")
@click.argument("places", nargs=-1, required=True, metavar="RUN_OR_FOLDER...", type=click.Path(path_type=Path))
@click.option("--into", required=True, type=click.Path(path_type=Path, file_okay=False), help="The results folder.")
def merge(places: tuple[Path, ...], into: Path) -> None:
    """Bring all runs at or below each RUN_OR_FOLDER into one results folder; the folders read are left as they are.

    A run that is there twice, answer for answer, is taken once; of a run that is complete in one place and unfinished
    in another, the complete one; the answers of unfinished ones are joined, and the run goes on from there. Runs of
    one id that answered a question differently are refused by name (exit status 1), and the others are merged.

    \b
    fgvr-bench results merge machine-a/results machine-b/results --into results
    """
    from fgvr_bench.core.merging import merge as merge_runs

    found = merge_runs(places, into, progress)
    for folder, done in found.done:
        click.echo(inert(f"{done} {folder}"))
    for line in [*found.notes, *found.refused]:
        note(line)
    if found.refused:
        count = len(found.refused)
        raise FgvrError(f"{count} run{'s were' if count > 1 else ' was'} not merged (named above).")
    if not found.done:
        raise FgvrError(f"there is no run below {', '.join(map(str, places))}.")


def _line(each: Verified) -> str:
    said = [*each.problems]
    if each.run is not None and not said:
        figure = each.run.metrics[each.run.main_metric]
        said = [
            f"{each.run.model} on {each.run.dataset}, {each.run.main_metric} {percent(figure)}, "
            f"{each.run.questions:,} answers"
        ]
    if each.unchecked:
        said.append(f"not checked: {'; '.join(each.unchecked)}")
    return f"{each.state} {each.folder}: {' '.join(said) if each.problems else '; '.join(said)}"


def _row(each: Verified) -> dict[str, object]:
    run = each.run
    return {
        "folder": each.folder.as_posix(),
        "state": each.state,
        "problems": list(each.problems),
        "unchecked": list(each.unchecked),
        "run_id": run and run.run_id,
        "model": run and run.model,
        "dataset": run and run.dataset,
        "metrics": run and dict(run.metrics),
    }
