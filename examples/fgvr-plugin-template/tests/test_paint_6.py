"""The plugin's own tests: it is found, and the model knows the paints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fgvr_bench
from fgvr_bench.core.host import host


def test_both_are_found_by_their_entry_points() -> None:
    provided = {info.name: info.provides for info in host().plugins if info.distribution == "fgvr-plugin-template"}
    assert provided == {"nearest-colour": ("model:nearest-colour",), "paint-6": ("dataset:paint-6",)}


def test_the_model_knows_every_paint(tmp_path: Path) -> None:
    evaluation = fgvr_bench.evaluate(model="nearest-colour", dataset="paint-6", results_dir=tmp_path)
    assert [result.metrics["accuracy"] for result in evaluation.results] == [1.0]


def test_the_command_line_runs_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fgvr_bench", "run", "-m", "nearest-colour", "-d", "paint-6"]
    done = subprocess.run([*command, "--results-dir", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "100" in done.stdout
