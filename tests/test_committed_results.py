"""What this repository claims in `results/` is what its files give."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fgvr_bench.cli.leaderboard import leaderboard
from fgvr_bench.cli.score import score
from fgvr_bench.core.results import read_runs

RESULTS = Path(__file__).resolve().parent.parent / "results"


def test_every_committed_run_is_whole_and_its_figures_come_out_of_its_responses() -> None:
    runs, problems, unfinished = read_runs(RESULTS)
    assert runs
    assert (problems, unfinished) == ([], 0)
    done = CliRunner().invoke(score, [str(RESULTS)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("file", "words"), [("results/LEADERBOARD.md", ["--reported"]), ("README.md", [])])
def test_the_committed_boards_are_current(file: str, words: list[str]) -> None:
    output = RESULTS.parent / file
    done = CliRunner().invoke(
        leaderboard, ["build", str(RESULTS), "--strict", *words, "--output", str(output), "--check"]
    )
    assert done.exit_code == 0, done.output
