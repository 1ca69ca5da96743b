"""Training killed or refused at any step on files: it goes on and ends with the bytes of one that was not.

``FGVR_TEST_KILLS=100`` is the long form, with every error; see docs/reliability.md.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from crash_lab import disturb
from finedefics.checkpoints import clear_unfinished, drop, found


def test_disturbed_at_a_step_on_files_training_goes_on_and_ends_with_the_same_bytes(
    rows: Path, base: Path, tmp_path: Path
) -> None:
    shutil.copytree(rows, tmp_path / "lab" / "rows")
    shutil.copytree(base, tmp_path / "lab" / "base")
    disturb("train", tmp_path / "lab", few=1)


def test_a_checkpoint_is_none_from_the_moment_that_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        raise SystemExit

    (tmp_path / "checkpoint-000001").mkdir()
    (tmp_path / "checkpoint-000001" / "checkpoint.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr("finedefics.checkpoints.shutil.rmtree", killed)
        with pytest.raises(SystemExit):
            drop(found(tmp_path)[0][1])
    assert found(tmp_path) == []
    clear_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())
