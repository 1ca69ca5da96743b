"""``fgvr-bench compare``: two runs, question by question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgvr_bench.cli.output import note, progress
from fgvr_bench.core.host import host
from fgvr_bench.errors import FgvrError, UsageError

if TYPE_CHECKING:
    from fgvr_bench.core.compare import Comparison

FORMATS = ("text", "markdown", "json")


@click.command(short_help="Hold two runs against one another.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="[B]", required=False)
@click.option("--baseline", metavar="RUN", help="The run to hold A against, in place of B.")
@click.option(
    "--fail-if-worse",
    type=click.FloatRange(min=0),
    metavar="POINTS",
    help="Exit 1 where A is worse by more than this many percentage points.",
)
@click.option("--results-dir", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--format", "kind", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--show", type=click.IntRange(min=0), default=10, show_default=True, help="Classes and questions listed.")
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Write changed questions with pictures.")
@click.option(
    "--data-root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder to look for datasets in, for --page; several times.",
)
def compare(
    a: str,
    b: str | None,
    baseline: str | None,
    fail_if_worse: float | None,
    results_dir: Path,
    kind: str,
    show: int,
    page: Path | None,
    roots: tuple[Path, ...],
) -> None:
    """Compare run A with run B, or with a baseline, on the same questions.

    A run is named by its folder, its id, or as model@dataset. Runs that were asked other questions (dataset, option
    set, protocol, task, seed) are refused.

    \b
    fgvr-bench compare finedefics@bird-200 idefics2@bird-200
    fgvr-bench compare results/bird-200/mine/3f2a91c07b5e --baseline idefics2@bird-200 --fail-if-worse 1.0
    """
    from fgvr_bench.core import compare_formats
    from fgvr_bench.core.compare import compare as compare_runs
    from fgvr_bench.core.find_run import find_run

    other = b if baseline is None else baseline
    if other is None or (b is not None and baseline is not None):
        raise UsageError("compare takes two runs: A and B, or A and --baseline.", hint="See: fgvr-bench compare --help")
    found = compare_runs(host(), find_run(a, results_dir), find_run(other, results_dir))
    write = {
        "text": compare_formats.to_text,
        "markdown": compare_formats.to_markdown,
        "json": compare_formats.to_json,
    }[kind]
    click.echo(write(found, show), nl=False)
    if page is not None:
        from fgvr_bench.report.flips import write_flips

        for line in write_flips(host(), found, page, roots, progress):
            note(line)
    if fail_if_worse is not None:
        _judge(found, fail_if_worse)


def _judge(found: Comparison, most: float) -> None:
    """Say whether A holds up.

    Raises:
        FgvrError: it is worse by more than `most` points.
    """
    from fgvr_bench.core.compare_formats import verdict

    # compared in whole questions, so that a limit which is met exactly is met on every machine
    if 100 * (found.b.right - found.a.right) > most * found.questions:
        raise FgvrError(f"A is worse than allowed ({most:g} points): {verdict(found)}.")
    note(f"A is not worse than B by more than {most:g} points.")
