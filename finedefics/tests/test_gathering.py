"""Two processes that gather train as one with the joined batch."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from finedefics.gathering import all_rows, all_sum, offset, processes

SCRIPT = Path(__file__).parent / "two_processes.py"


def part(seed: int, rows: int, negatives: int, positions: int, ids: bool) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)

    def drawn(count: int) -> torch.Tensor:
        return torch.randn(count, 5, dtype=torch.float64, generator=generator)

    made: dict[str, Any] = {
        "image": drawn(rows + 1),
        "image_rows": torch.tensor([0, *range(rows)]),
        "attribute": drawn(rows),
        "category": drawn(rows),
        "states": drawn(positions),
        "targets": torch.arange(positions) % 9,
    }
    if negatives:
        made |= {"neg_attribute": drawn(negatives), "neg_category": drawn(negatives)}
    if ids:
        # Category 1 is a row of both processes, and a negative of the other: none may be told apart from itself.
        made["category_ids"] = torch.arange(rows) + 1
        made["neg_category_ids"] = torch.arange(negatives) % 3
        made["neg_attribute_ids"] = torch.arange(negatives) % 3
    return made


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put what processes hold together, as one process would hold it."""
    whole: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in parts for name in each):
        whole[name] = torch.cat([each[name] for each in parts if name in each])
    starts = [0, len(parts[0]["attribute"])]
    whole["image_rows"] = torch.cat([each["image_rows"] + start for each, start in zip(parts, starts, strict=True)])
    return whole


CASES = [(negatives, ids) for negatives in ((4, 1), (3, 0), (0, 0)) for ids in (True, False)]
"""Negatives of each process, and whether categories are known."""


def script() -> Any:
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_loss_and_gradients_are_those_of_one_process_with_the_joined_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [[part(1, 2, first, 5, ids), part(2, 3, second, 11, ids)] for (first, second), ids in CASES]
    words = []
    for rank in range(2):
        torch.save([parts[rank] for parts in cases], tmp_path / f"given{rank}")
        files = [str(tmp_path / name) for name in ("store", f"given{rank}", f"out{rank}")]
        words.append([str(SCRIPT), str(rank), "2", *files])
    other = subprocess.Popen([sys.executable, *words[1]], stderr=subprocess.PIPE, text=True)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "argv", words[0])
        script().main()
    _, errors = other.communicate(timeout=120)
    assert other.returncode == 0, errors
    outcomes = zip(*(torch.load(tmp_path / f"out{rank}") for rank in range(2)), strict=True)
    alone_of = script().losses_and_gradients
    for parts, case, found in zip(cases, CASES, outcomes, strict=True):
        alone = alone_of(joined(parts), gather=False)
        assert set(alone) == set(found[0])
        for name, expected in alone.items():
            values = torch.stack([each[name] for each in found])
            if not name.startswith("grad_"):
                assert torch.equal(values[0], values[1]), (case, name)
            # Gradients are averaged, as data-parallel training does.
            assert torch.allclose(values.mean(dim=0), expected, rtol=1e-9, atol=1e-12), (case, name)


def test_one_process_gathers_nothing() -> None:
    rows = torch.randn(3, 2)
    assert processes() == 1
    assert all_rows(rows) is rows
    assert all_sum(rows) is rows
    assert offset(3, rows.device) == 0
