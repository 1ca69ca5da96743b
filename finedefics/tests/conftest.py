"""What every test of this distribution starts from: no user caches, no hub."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own caches and no settings of the person who runs it."""
    for name in [name for name in os.environ if name.startswith("FGVR_") and name != "FGVR_REFERENCE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FGVR_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("FGVR_DATA", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
