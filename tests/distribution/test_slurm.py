"""The scripts for Slurm, under a stand-in for it: tasks get the variables that Slurm gives them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from overlay import ROOT
from PIL import Image

SCRIPTS = ROOT / "examples" / "slurm"
SRUN = """#!/usr/bin/env bash
# Stands in for srun: starts the tasks of two machines side by side; fails where one does.
[[ $1 == --kill-on-bad-exit=0 ]] && shift
status=0
for task in 0 1 2; do
    SLURM_PROCID=$task SLURM_NTASKS=3 SLURM_LOCALID=$((task % 2)) "$@" &
done
for _ in 0 1 2; do wait -n || status=$?; done
exit $status
"""
SCONTROL = """#!/usr/bin/env bash
[[ $* == "show hostnames node[1-2]" ]] && printf 'localhost\\nelsewhere\\n'
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Lay out photographs, and a folder of commands that Slurm would have."""
    for label in ("Knot", "Ruff", "Stint"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (9, 9), (30 * number, 9, 9)).save(tmp_path / "photos" / label / f"{number}.png")
    own = f'#!/usr/bin/env bash\nexec "{sys.executable}" -m fgvr_bench "$@"\n'
    (tmp_path / "bin").mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "fgvr-bench": own}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


def submit(script: str, environment: dict[str, str], tmp_path: Path, *words: str, **slurm: str) -> str:
    done = subprocess.run(
        ["bash", str(SCRIPTS / script), *words],
        env={**environment, **slurm},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def complete(results: Path) -> list[str]:
    return sorted(path.parent.parent.name for path in results.glob("*/*/*/responses.jsonl"))


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.sbatch")))
def test_the_scripts_are_read_by_bash_and_say_what_they_ask_slurm_for(script: str) -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPTS / script)]).returncode == 0
    lines = (SCRIPTS / script).read_text().splitlines()
    asked = [number for number, line in enumerate(lines) if line.startswith("#SBATCH --")]
    assert len(asked) > 5
    # Slurm stops reading at the first command.
    assert max(asked) < next(number for number, line in enumerate(lines) if line and not line.startswith("#"))


def test_an_array_runs_every_model_on_every_dataset(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "birds")
    asked = {"MODELS": "random always-a", "DATASETS": "folder:birds"}
    for task in range(2):
        submit("array.sbatch", environment, tmp_path, "--options", "random", **asked, SLURM_ARRAY_TASK_ID=str(task))
    assert complete(tmp_path / "results") == ["always-a", "random"]
    beyond = subprocess.run(
        ["bash", str(SCRIPTS / "array.sbatch")],
        env={**environment, **asked, "SLURM_ARRAY_TASK_ID": "2"},
        capture_output=True,
        text=True,
    )
    assert beyond.returncode == 2
    assert "submit with --array=0-1" in beyond.stderr


def test_the_tasks_of_several_machines_share_one_run(environment: dict[str, str], tmp_path: Path) -> None:
    words = ["--model", "random", "--dataset", "folder:photos", "--options", "random", "--batch-size", "1"]
    job = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": str(os.getpid() % 20000)}
    submit("nodes.sbatch", environment, tmp_path, *words, **job)
    assert complete(tmp_path / "results") == ["random"]
    [machine] = (tmp_path / "results").rglob("machine.json")
    assert '"processes": 3' in machine.read_text()


def test_shards_of_an_array_are_merged_into_one_run(environment: dict[str, str], tmp_path: Path) -> None:
    words = ["--model", "random", "--dataset", "folder:photos", "--options", "random"]
    for task in (1, 2):
        part = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2", "BATCH_SIZE": "5"}
        said = submit("shards.sbatch", environment, tmp_path, *words, **part)
        assert f"part {task} of 2. Once all are done: fgvr-bench results merge results/shards --into results" in said
    assert complete(tmp_path / "results") == []
    merge = ["fgvr-bench", "results", "merge", "results/shards", "--into", "results"]
    done = subprocess.run(merge, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert complete(tmp_path / "results") == ["random"]
