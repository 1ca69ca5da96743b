"""Ten thousand runs take hardly more memory than a hundred: nothing of a run is held but a few numbers."""

from __future__ import annotations

import hashlib
import importlib
import json
import tracemalloc
from collections.abc import Callable
from math import inf
from pathlib import Path

import numpy as np
import pytest
from test_run_story import play
from toy import ToyPlugin, toy_host

from fgvr_bench.cli.leaderboard import FORMATS
from fgvr_bench.core import board_text, scratch, tallies
from fgvr_bench.core import index as index_module
from fgvr_bench.core.files import canonical_json
from fgvr_bench.core.index import Index
from fgvr_bench.core.known import Knowledge
from fgvr_bench.core.leaderboard import build_tables
from fgvr_bench.core.ranking import rank
from fgvr_bench.core.run_folder import SEAL, RunFolder, run_id
from fgvr_bench.core.tallies import tally
from fgvr_bench.core.verify_runs import Verifier

A_RUN = 250
"""Bytes that a run more may cost: numbers of its row and its columns, and its name while folders are listed."""
FEW, MANY = 80, 320
DATASETS = ("toy", "toy-2", "toy-3", "toy-4")


def many_runs(folder: Path, count: int) -> None:
    """Write runs of models that know more or less, on four datasets."""
    generator = np.random.default_rng(0)
    for number in range(count):
        dataset = DATASETS[number % len(DATASETS)]
        if number < len(DATASETS):
            play(folder / "played", dataset=ToyPlugin(dataset))
        played = next((folder / "played" / dataset).glob("*/*"))
        content = json.loads((played / "run.json").read_text())
        content.pop(SEAL)
        lines = [json.loads(line) for line in (played / "responses.jsonl").read_text().splitlines()]
        right = generator.random(len(lines)) < 0.3 + 0.6 * number / count
        for line, good in zip(lines, right, strict=True):
            line["completion"] = line["letters"][line["target"] if good else line["target"] - 1]
        text = "".join(canonical_json(line) + "\n" for line in lines)
        name = f"model-{number // len(DATASETS):05}"
        inputs = {**content["inputs"], "model": {**content["inputs"]["model"], "name": name}}
        place = RunFolder.of(folder / "results", dataset, name, run_id(inputs))
        place.path.mkdir(parents=True)
        place.responses_file.write_text(text)
        accuracy = float(right.mean())
        changed = {"inputs": inputs, "run_id": run_id(inputs), "model": name, "metrics": {"accuracy": accuracy}}
        changed["responses_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        place.run_file.write_text(canonical_json({**content, **changed}))


def growth(work: Callable[[int], object], few: int, many: int, enough: float = A_RUN) -> float:
    """Return how many bytes more each run more takes at the peak of a piece of work that was done before.

    Every now and then the interpreter lays its table of names out anew, which costs two megabytes: so a few times.
    """
    work(many)
    found = inf
    for _ in range(6):
        found = min(found, (_peak(work, many) - _peak(work, few)) / (many - few))
        if found < enough:
            break
    return found


def _peak(work: Callable[[int], object], count: int) -> int:
    tracemalloc.start()
    try:
        work(count)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is taken at once be full with few runs already, and files settled as soon as they are written."""
    monkeypatch.setattr(tallies, "BLOCK", 16)
    monkeypatch.setattr(board_text, "ROWS_AT_ONCE", 16)
    monkeypatch.setattr(scratch, "SPOOLED", 1024)
    monkeypatch.setattr(index_module, "SETTLED_NS", -3_600_000_000_000)


def test_the_memory_of_a_board_does_not_grow_with_its_runs_in_any_format(tmp_path: Path) -> None:
    for count in (FEW, MANY):
        many_runs(tmp_path / str(count), count)
    writers = [getattr(importlib.import_module(f"fgvr_bench.core.{module}"), name) for module, name in FORMATS.values()]

    def build(count: int) -> None:
        with Index() as index:
            tables = build_tables(index.read([tmp_path / str(count) / "results"], toy_host()).runs, index)
        for write in writers:
            for _ in write(tables):
                pass

    assert growth(build, FEW, MANY) < A_RUN


def test_the_memory_of_verifying_does_not_grow_with_the_runs(tmp_path: Path) -> None:
    for count in (30, 120):
        many_runs(tmp_path / str(count), count)
    plugins = toy_host()

    def verify(count: int) -> None:
        found = Verifier(plugins, Knowledge(plugins)).verify([tmp_path / str(count) / "results"])
        assert sum(each.run is not None for each in found) == count

    enough = 3 * A_RUN  # so few runs do not fill what the interpreter holds ready
    assert growth(verify, 30, 120, enough) < enough


def test_the_memory_of_a_ranking_does_not_grow_with_its_pairs() -> None:
    generator = np.random.default_rng(0)
    classes = np.repeat(np.arange(10), 4).astype(np.int32)

    def ranked(count: int) -> None:
        drawn = generator.random((count, len(classes))) < np.linspace(0.3, 0.9, count)[:, None]
        rank([tally((np.packbits(each).tobytes() for each in drawn), classes)])

    enough = A_RUN + 9 * len(classes)  # what is drawn here among it
    assert growth(ranked, 40, 200, enough) < enough
