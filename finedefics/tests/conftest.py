"""What every test of this distribution starts from: no user caches, no hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


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


NAMES = ("tern", "crow", "heron", "owl")


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with twelve pictures, ``pretrain.csv`` and ``finetune.csv``."""
    import tiny
    from finedefics.rows import SINGLE, TrainingRow, write_rows

    folder = tmp_path_factory.mktemp("rows")
    aligned, tuned = [], []
    for number, picture in enumerate(tiny.pictures(12)):
        picture.save(folder / f"{number}.png")
        own, other = NAMES[number % 4], NAMES[(number + 1) % 4]
        image = (folder / f"{number}.png",)
        texts = {"attribute": f"a bird like a {own}", "neg_attributes": (f"a bird like a {other}",)}
        names = {"category": own, "neg_categories": (other,)}
        aligned.append(TrainingRow("Which of these is shown?", own, SINGLE, image, **texts, **names))
        tuned.append(TrainingRow("Which of these is shown in the image?", own, SINGLE, image))
    write_rows(folder / "pretrain.csv", aligned, folder)
    write_rows(folder / "finetune.csv", tuned, folder)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny random Idefics2."""
    import tiny_families

    return Path(tiny_families.idefics2(tmp_path_factory.mktemp("base") / "tiny-idefics2"))


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny random LLaVA: the second family."""
    import tiny_families

    return Path(tiny_families.llava(tmp_path_factory.mktemp("llava") / "tiny-llava"))
