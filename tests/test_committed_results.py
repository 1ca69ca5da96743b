"""What this repository claims in `results/` is what its files give."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from same_demo import differences

from fgvr_bench.cli.leaderboard import leaderboard
from fgvr_bench.cli.report import report
from fgvr_bench.cli.score import score
from fgvr_bench.core.results import read_runs

RESULTS = Path(__file__).resolve().parent.parent / "results"


def test_every_committed_run_is_whole_and_its_figures_come_out_of_its_responses() -> None:
    runs, problems, unfinished = read_runs(RESULTS)
    assert runs
    assert (problems, unfinished) == ([], 0)
    done = CliRunner().invoke(score, [str(RESULTS)])
    assert done.exit_code == 0, done.output


BOARDS = [
    ("results/LEADERBOARD.md", ["--reported"]),
    ("results/leaderboard.tex", ["--reported"]),
    ("README.md", []),
]


@pytest.mark.parametrize(("file", "words"), BOARDS)
def test_the_committed_boards_are_current(file: str, words: list[str]) -> None:
    output = RESULTS.parent / file
    done = CliRunner().invoke(
        leaderboard, ["build", str(RESULTS), "--strict", *words, "--output", str(output), "--check"]
    )
    assert done.exit_code == 0, done.output


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_committed_latex_is_typeset(tmp_path: Path) -> None:
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}\input{{{RESULTS}/leaderboard}}"
    (tmp_path / "board.tex").write_text(document + r"\end{document}")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "board.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "board.pdf").stat().st_size > 10_000


def test_the_committed_report_is_current(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    words = [str(RESULTS), "--no-pictures", "--title", "moth-24, the demo", "--out", str(page)]
    done = CliRunner().invoke(report, words)
    assert done.exit_code == 0, done.output
    assert page.read_bytes() == (RESULTS / "report.html").read_bytes(), (
        "make it again, with an empty cache: "
        "FGVR_CACHE=$(mktemp -d) fgvr-bench report results --no-pictures "
        "--title 'moth-24, the demo' -o results/report.html"
    )


def test_what_the_demo_gives_is_held_against_what_is_committed(tmp_path: Path) -> None:
    run = next((RESULTS / "moth-24" / "moth-finedefics").iterdir())
    demo = tmp_path / "demo"
    shutil.copytree(run, demo / "moth-24" / "moth-finedefics" / run.name)
    (nothing := tmp_path / "nothing").mkdir()
    assert differences(demo, RESULTS) == []
    (problem,) = differences(demo, nothing)
    assert f"{run.name}: there is no such run" in problem
    (problem,) = differences(nothing, RESULTS)
    assert "no run" in problem
