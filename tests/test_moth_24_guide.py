"""The field guide of moth-24 is what its generator writes today."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = ROOT / "benchmarks" / "make_moth_24.py"
    if not path.exists():
        pytest.skip("the generator is in the repository only")
    spec = importlib.util.spec_from_file_location("make_moth_24", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_and_pictures_are_current(generator: ModuleType) -> None:
    assert generator.stale(with_digests=False) == []


def test_a_picture_of_another_moth_is_called_stale(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "PICTURES", tmp_path)
    for path in (ROOT / "docs" / "images" / "moth-24").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "skye-footman.jpg").write_bytes((tmp_path / "orkney-footman.jpg").read_bytes())
    (tmp_path / "dale-carpet.jpg").unlink()
    problems = generator.stale(with_digests=False)
    assert sorted(Path(problem.split(" is ")[0]).name for problem in problems) == [
        "dale-carpet.jpg",
        "skye-footman.jpg",
    ]
    assert {problem.split(" is ")[1] for problem in problems} == {"missing", "stale"}


def test_pictures_of_the_page_stay_small() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "images" / "moth-24").iterdir()) < 1_500_000
