"""What every test starts from: no user caches, no hub, no plugin left over from another test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread a worker, or workers wait for one another
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own caches and no settings of the person who runs it."""
    for name in [name for name in os.environ if name.startswith("FGVR_") and name != "FGVR_REFERENCE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FGVR_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("FGVR_DATA", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Return the folder of golden data made by running the reference, or skip."""
    folder = Path(os.environ.get("FGVR_REFERENCE", ROOT.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"the reference data is not at {folder} (set FGVR_REFERENCE)")
    return folder
