"""Killed or refused at any step on files, work goes on and ends with the same bytes; nothing shown as done is lost.

``FGVR_TEST_KILLS=100`` is the long form, with every error; see docs/reliability.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_lab import disturb


@pytest.mark.parametrize("work", ["run", "mine", "score", "board"])
def test_disturbed_at_a_step_on_files_it_goes_on_and_ends_with_the_same_bytes(work: str, tmp_path: Path) -> None:
    disturb(work, tmp_path / "lab")
