"""Ten thousand runs take hardly more memory than a hundred: nothing of a run is held but a few numbers."""

from __future__ import annotations

import hashlib
import importlib
import json
import tracemalloc
from collections.abc import Callable
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
from fgvr_bench.core.leaderboard import build_tables
from fgvr_bench.core.ranking import rank
from fgvr_bench.core.run_folder import SEAL, RunFolder, run_id
from fgvr_bench.core.tallies import tally

A_RUN = 250
"""Bytes that a run more may cost: numbers of its row and its columns, and its name while folders are listed."""
FEW, MANY = 80, 400
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


def most_memory(work: Callable[[int], object], count: int) -> int:
    """Return how many bytes more a piece of work holds at its peak, once it has been done before.

    The least of three times: every now and then the interpreter lays its table of names out anew.
    """
    work(count)
    tracemalloc.start()
    try:
        return min(_peak(work, count) for _ in range(3))
    finally:
        tracemalloc.stop()


def _peak(work: Callable[[int], object], count: int) -> int:
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    work(count)
    return tracemalloc.get_traced_memory()[1] - before


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

    many, few = most_memory(build, MANY), most_memory(build, FEW)
    assert (many - few) / (MANY - FEW) < A_RUN


def test_the_memory_of_a_ranking_does_not_grow_with_its_pairs() -> None:
    generator = np.random.default_rng(0)
    classes = np.repeat(np.arange(10), 4).astype(np.int32)

    def ranked(count: int) -> None:
        drawn = generator.random((count, len(classes))) < np.linspace(0.3, 0.9, count)[:, None]
        rank([tally((np.packbits(each).tobytes() for each in drawn), classes)])

    many, few = most_memory(ranked, 200), most_memory(ranked, 40)
    assert (many - few) / 160 < A_RUN + 9 * len(classes), "what was drawn here among it"
