"""What is read ahead reaches the model's process, in shared memory where there is enough, through a pipe elsewhere."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image
from test_run_story import files_of

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core import shared_memory
from fgvr_bench.core.ahead import read_ahead
from fgvr_bench.core.shared_memory import room

forked = pytest.mark.skipif(
    multiprocessing.get_start_method() != "fork", reason="workers that start anew know nothing of this test"
)


@dataclass
class Tensors:
    """Batches of one tensor, as a preparer joins them."""

    dtype: str

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> Any:
        import torch

        made = room((2, 3), getattr(torch, self.dtype))
        return {"x": made.copy_(torch.arange(6).view(2, 3) + number)}


@forked
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
@pytest.mark.parametrize("free", [64 << 20, 64 << 30])
def test_batches_are_the_same_with_much_and_with_little_shared_memory(
    dtype: str, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: free)
    here, ahead = (list(read_ahead(Tensors(dtype), workers, False)) for workers in (0, 1))
    assert len(here) == len(ahead) == 3
    for one, other in zip(here, ahead, strict=True):
        assert one["x"].dtype == other["x"].dtype
        assert one["x"].equal(other["x"])
    assert {batch["x"].is_shared() for batch in ahead} == {free > shared_memory.SCARCE}


@forked
def test_a_container_with_little_shared_memory_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("crow", "tern", "wren"):
        (tmp_path / "birds" / label).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (30, 20), (60 * number, 90, 200)).save(tmp_path / "birds" / label / f"{number}.png")

    def run(name: str) -> dict[str, bytes]:
        monkeypatch.setenv("FGVR_CACHE", str(tmp_path / f"cache of {name}"))
        words = [
            "run",
            "-m",
            "moth-clip",
            "-m",
            "moth-idefics2",
            "-d",
            f"folder:{tmp_path / 'birds'}",
            "--workers",
            "2",
        ]
        words += ["--batch-size", "4", "--options", "random", "--device", "cpu", "--results-dir", str(tmp_path / name)]
        done = CliRunner().invoke(fgvr_bench, words)
        assert done.exit_code == 0, done.output
        return files_of(tmp_path / name)

    plenty = run("plenty")
    monkeypatch.setattr(shared_memory, "free_bytes", lambda: 64 << 20)
    monkeypatch.setattr(shared_memory, "shared", None)  # nobody asks for any
    assert run("little") == plenty
    said = CliRunner().invoke(fgvr_bench, ["doctor"]).output
    assert "67 MB of shared memory free (/dev/shm)" in said
    assert "--shm-size" in said
