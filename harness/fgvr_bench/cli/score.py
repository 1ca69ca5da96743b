"""``fgvr-bench score``: parse and score stored responses again."""

from __future__ import annotations

from pathlib import Path

import click

from fgvr_bench.cli.output import note, print_table
from fgvr_bench.core.evaluation import percent
from fgvr_bench.core.host import host
from fgvr_bench.core.rescoring import Rescored, rescore, write_scores
from fgvr_bench.core.results import run_folders
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.tasks import find_task
from fgvr_bench.errors import FgvrError


@click.command(short_help="Parse and score stored responses again.")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--protocol", help="Judge as this protocol does.  [default: the run's own]")
@click.option("--task", help="A task of that protocol.  [default: the run's own]")
@click.option("--rules", is_flag=True, help="Say how many answers each rule of the parser decided.")
@click.option(
    "--positions", is_flag=True, help="Say how each letter fared: accuracy where the truth stood, share given."
)
@click.option("--write", is_flag=True, help="Put the new figures in the place of the stored ones.")
def score(
    folders: tuple[Path, ...], protocol: str | None, task: str | None, rules: bool, positions: bool, write: bool
) -> None:
    """Parse and score the responses of all complete runs below FOLDERS (results) again.

    No model and no dataset is needed. Exit status 1 where a stored figure is not what its responses give, or a run
    cannot be scored; that run is named and the others are scored all the same.

    \b
    fgvr-bench score
    fgvr-bench score results/bird-200 --protocol foci
    """
    if protocol:
        find_task(host(), RunSettings(protocol=protocol, task=task))  # a mistyped name is one error, not one a run
    paths = [path for folder in folders or (Path("results"),) for path in run_folders(folder)]
    if not paths:
        raise FgvrError("there is no complete run to score.", hint="Make one: fgvr-bench run --help")
    found: list[Rescored] = []
    failed: dict[Path, FgvrError] = {}
    for path in paths:
        try:
            each = rescore(host(), path, protocol, task)
            if write:
                write_scores(each)
        except FgvrError as error:
            failed[path] = error
        else:
            found.append(each)
    if found:
        _show(found, rules)
        if positions:
            _show_positions(found)
    for path, problem in failed.items():
        note(str(problem) if str(path) in problem.message else f"{path}: {problem}")
    differing = [each for each in found if each.same_protocol and each.changed and not write]
    for each in differing:
        note(f"{each.folder.path}: {', '.join(each.changed)} changed.")
    _raise_for(failed, differing, len(paths))


NAMES = ("model", "dataset", "run")


def _names(scored: Rescored) -> tuple[str, str, str]:
    return scored.model, scored.dataset, scored.folder.path.name


def _show_positions(found: list[Rescored]) -> None:
    """Print accuracy by the letter that the truth stood behind, and how often each letter was given."""
    rows = []
    for each in found:
        asked = sum(counts[0] for counts in each.positions.values())
        for letter, (stood, right, given) in sorted(each.positions.items()):
            accuracy = percent(right / stood if stood else None)
            rows.append((*_names(each), letter, f"{stood:,}", accuracy, percent(given / asked)))
    click.echo()
    print_table([*NAMES, "letter", "truth there", "accuracy there", "given"], rows)


def _figures(name: str, *values: float | None) -> list[str]:
    """Return figures as they are read: shares in percent, counts and lengths as they are."""
    share = host().metrics[name].share
    return [percent(value) if share or value is None else f"{value:,.1f}" for value in values]


def _raise_for(failed: dict[Path, FgvrError], differing: list[Rescored], total: int) -> None:
    """Name every run that could not be scored or whose figures are others now.

    Raises:
        FgvrError: there is such a run.
    """
    sentences = []
    if failed:
        sentences.append(f"{len(failed)} of {total} runs could not be scored: {', '.join(map(str, failed))}.")
    if differing:
        folders = ", ".join(str(each.folder.path) for each in differing)
        sentences.append(
            f"{len(differing)} of {total} runs have stored figures that their responses do not give: {folders}."
        )
    if sentences:
        hint = "To replace stored figures: fgvr-bench score --write" if differing else None
        raise FgvrError(" ".join(sentences), hint=hint)


def _show(found: list[Rescored], rules: bool) -> None:
    print_table(
        [*NAMES, "protocol", "task", "metric", "stored", "now"],
        [
            (*_names(each), each.protocol, each.task, name, *_figures(name, each.stored.get(name), value))
            for each in found
            for name, value in each.metrics.items()
        ],
    )
    if rules:
        rows = [(*_names(each), rule, f"{count:,}") for each in found for rule, count in each.rules.items()]
        click.echo()
        print_table([*NAMES, "rule", "answers"], sorted(rows))
    for problem in [problem for each in found for problem in each.problems]:
        note(problem)
