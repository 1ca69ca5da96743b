"""Killed or refused at any step on files, work goes on and ends with the same bytes; nothing shown as done is lost.

``FGVR_TEST_KILLS=100`` tries every step of every piece of work, with every error; see docs/reliability.md.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = int(os.environ.get("FGVR_TEST_KILLS", "3"))
REPORT = os.environ.get("FGVR_TEST_REPORT")
"""File to append the numbers of trials to."""
STEPS = {"run": 70, "mine": 60, "score": 10, "board": 8}
"""More steps on files than each piece of work has."""
MOMENTS = {"run": 160, "mine": 400, "score": 25, "board": 250}
"""How many moments each lasts, undisturbed on a slow machine."""
WAYS = ["kill", "moment", *(("ENOSPC", "EIO", "EROFS", "EACCES", "EDQUOT") if KILLS > 20 else ("ENOSPC",))]


@pytest.mark.parametrize("work", STEPS)
def test_disturbed_at_a_step_on_files_it_goes_on_and_ends_with_the_same_bytes(work: str, tmp_path: Path) -> None:
    words = []
    for way in WAYS:
        last = (MOMENTS if way == "moment" else STEPS)[work]
        stride = max(1, last // KILLS)
        words.append(f"{way}:{random.Random(f'{work} {way}').randint(1, stride)}:{last}:{stride}")
    lab = [sys.executable, str(Path(__file__).with_name("crash_lab.py")), str(tmp_path / "lab"), work, *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(lab, env=environment, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["broken"] == []
    assert all(found["trials"].values())
    if REPORT:
        with open(REPORT, "a") as file:
            file.write(done.stdout)
