"""Training killed or refused at any step on files: it goes on and ends with the bytes of one that was not.

``FGVR_TEST_KILLS=100`` is the long form, with every error; see docs/reliability.md.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from crash_lab import disturb


def test_disturbed_at_a_step_on_files_training_goes_on_and_ends_with_the_same_bytes(
    rows: Path, base: Path, tmp_path: Path
) -> None:
    shutil.copytree(rows, tmp_path / "lab" / "rows")
    shutil.copytree(base, tmp_path / "lab" / "base")
    disturb("train", tmp_path / "lab", few=1)
