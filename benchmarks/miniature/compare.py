"""Stage I and II against stage II alone, and everything else that is measured of tuned models.

Each measured model is a line of the results' file at once, and what is there already is not trained again.  With
several workers, each is a process that takes the next model; what runs out of time is left for the next call.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.miniature.arms import (
    ABLATIONS,
    ALONE,
    BATCH,
    BOTH,
    EXPLORED,
    FOUR_BITS,
    HELD_OUT,
    RATE,
    STEPS,
    Arm,
    alone_of,
)

from fgvr_bench.core.paths import cache_folder

RESULTS = Path(__file__).parent / "results"
SHOTS, SEEDS = 8, 5
"""Of the comparison that was fixed beforehand."""
FEWER = 3
"""Seeds of everything that come before the others of anything."""
CONFIRMING = range(5, 10)
"""Seeds of what is put to the test after exploration."""
EVERY = 4
"""Of the test images every fourth is asked of genera, and with a grey picture."""


@dataclass(frozen=True, slots=True)
class Job:
    """A model to be tuned and measured."""

    arm: Arm
    shots: int
    seed: int
    splits: tuple[str, ...] = ()
    """Whose images it is measured on; none: those that the command names."""
    on_gpu: bool = False
    """Whether a worker on a GPU takes it first; the arms of one comparison go the same way."""

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells its record from others."""
        return self.arm.name, self.shots, self.seed


IN_FOUR_BITS = "base in 4 bits"
CONFIRMATION = "confirmation"
"""The suite of what came out ahead in exploration; there is nothing in it before that is complete."""


def suites() -> dict[str, list[Job]]:
    """Return what each suite measures, in order."""
    seeds, both = range(SEEDS), ("validation", "test")
    return {
        "main": [Job(arm, SHOTS, seed, on_gpu=True) for seed in seeds for arm in (BOTH, ALONE)],
        "shots": [
            Job(arm, shots, seed, on_gpu=shots < 100)  # of many images most of the work is to prepare them
            for seed in seeds
            for shots in (100, 32, 16, 4)
            for arm in (BOTH, ALONE)
        ],
        "held-out": [Job(arm, SHOTS, seed) for seed in seeds for arm in HELD_OUT],
        "ablations": [Job(arm, SHOTS, seed, on_gpu=True) for seed in seeds for arm in ABLATIONS],
        "four-bits": [
            Job(Arm(IN_FOUR_BITS, method="qlora"), 0, 0, both, True),
            *(Job(arm, SHOTS, seed, both, True) for seed in seeds for arm in FOUR_BITS),
        ],
        "exploration": [
            Job(Arm("base"), 0, 0, ("validation",), True),
            *(Job(arm, SHOTS, seed, ("validation",), True) for seed in seeds[:FEWER] for arm in EXPLORED),
        ],
    }


def confirmations(explored: Sequence[dict[str, Any]]) -> list[tuple[Arm, Arm]]:
    """Return arms that were ahead of stage II alone at equal steps on validation, all explored seeds together.

    Args:
        explored: records of validation images.

    Returns:
        Each such arm with that of stage II alone; none that lacks a seed.
    """
    shares = {(r["arm"], r["seed"]): share(r) for r in explored if r["shots"] == SHOTS}
    pairs = ((arm, alone) for arm in EXPLORED if (alone := alone_of(arm)))
    found = []
    for arm, alone in pairs:
        keys = [(name, seed) for name in (arm.name, alone.name) for seed in range(FEWER)]
        if all(key in shares for key in keys):
            first, second = (sum(shares[key] for key in keys if key[0] == name) for name in (arm.name, alone.name))
            found += [(arm, alone)] if first > second else []
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings."""
    parser.add_argument("--base", type=Path, required=True, help="checkpoint of the base model")
    parser.add_argument("--suite", choices=[*suites(), CONFIRMATION, "all"], nargs="+", default=["main"])
    parser.add_argument("--split", choices=["validation", "test"], default="test")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="file of results, a line a model, or a folder of such, one a split"
    )
    parser.add_argument("--rows", type=Path, default=cache_folder() / "miniature" / "rows", help="folder of rows")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "miniature", help="folder for drawn pictures")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda takes the first GPU")
    parser.add_argument("--per-species", type=int, default=None, help="images a species of the split (all)")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps of an arm")
    parser.add_argument("--shots", type=int, default=None, help="as many images a species in every arm (the suite's)")
    parser.add_argument("--seeds", type=int, nargs="*", default=None, help="only these seeds")
    parser.add_argument("--arms", nargs="*", default=None, metavar="START", help="only arms whose names start so")
    parser.add_argument("--keep", type=Path, default=None, help="folder for the checkpoints of 'both stages'")
    parser.add_argument("--workers", type=int, default=0, help="processes on the processor (0: this one)")
    parser.add_argument("--gpu-workers", type=int, default=0, help="processes on the GPU, beside those")
    parser.add_argument("--minutes", type=float, default=None, help="stop then, unfinished models unmeasured")


def run(settings: argparse.Namespace) -> int:
    """Tune and measure; return 0, or 1 where something failed or time was up."""
    from benchmarks.miniature.crew import Bench, work_through

    books = Books(settings.out)
    jobs = [job for job in wanted(settings, books) if not all(job.key in books[s].done for s in job.splits)]
    if settings.workers or settings.gpu_workers:
        left = work_through(jobs, settings, books)
    else:
        left, bench = 0, Bench(settings, settings.device)
        for job in jobs:
            for split, record in bench.carry_out(job, books.done()):
                books[split].add(record)
                print(said(split, record), flush=True)
    if settings.keep is not None:
        write_cards(settings, books[settings.split].records)
    return 1 if left else 0


def said(split: str, record: dict[str, Any]) -> str:
    """Return a record as a line of the log."""
    what = f"{record['arm']}, {record['shots']} shots, seed {record['seed']}"
    return f"{what}: {split} siblings {share(record):.1%}, {record.get('seconds', 0):.0f} s"


def wanted(settings: argparse.Namespace, books: Books) -> list[Job]:
    """Return the jobs that were asked for, each once: the base model's, then the first seeds of all suites."""
    every = suites()
    arms = dict.fromkeys(arm.name for pair in confirmations(books["validation"].records) for arm in pair)
    every[CONFIRMATION] = [
        Job(arm, SHOTS, seed, on_gpu=True) for seed in CONFIRMING for arm in EXPLORED if arm.name in arms
    ]
    found = [Job(Arm("base"), 0, 0)]
    for name in every if "all" in settings.suite else settings.suite:
        found += [job for job in every[name] if settings.seeds is None or job.seed in settings.seeds]
    if settings.arms is not None:
        found = [job for job in found if job.arm.name.startswith(tuple(settings.arms))]
    found = [replace(job, splits=job.splits or (settings.split,)) for job in found]
    if settings.shots is not None:
        found = [replace(job, shots=settings.shots) if job.shots else job for job in found]
    found = [job for job in found if not any(job.key == o.key and {*job.splits} < {*o.splits} for o in found)]
    once = {(job.key, job.splits): job for job in reversed(found)}
    return sorted((job for job in found if once.pop((job.key, job.splits), None)), key=lambda job: job.seed >= FEWER)


class Books:
    """The files of results, one a split, in a folder; or one file, for a single split."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._books: dict[str, Book] = {}

    def __getitem__(self, split: str) -> Book:
        if split not in self._books:
            path = self._out if self._out.suffix == ".jsonl" else self._out / f"{split}.jsonl"
            self._books[split] = Book(path)
        return self._books[split]

    def done(self) -> set[tuple[str, str, int, int]]:
        """Return what has been measured: split, arm, shots, seed."""
        return {(split, *key) for split, book in self._books.items() for key in book.done}


class Book:
    """The file of results: a line a model, written as soon as it is measured."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = read_records(path)
        self.done = {(record["arm"], record["shots"], record["seed"]) for record in self.records}

    def add(self, record: dict[str, Any]) -> None:
        """Write a record, unless its model has one, from an attempt that failed later on."""
        key = (record["arm"], record["shots"], record["seed"])
        if key in self.done:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.records.append(record)
        self.done.add(key)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_cards(settings: argparse.Namespace, records: list[dict[str, Any]]) -> None:
    """Write the cards of the checkpoints that were kept."""
    from benchmarks.miniature import base
    from benchmarks.miniature.cards import write_tuned

    command = shlex.join(["python", "-m", "benchmarks.miniature", *sys.argv[1:]])
    before = next(record for record in records if record["arm"] == "base")
    for record in records:
        folder = settings.keep / f"{record['shots']}-{record['seed']}"
        if record["arm"] == BOTH.name and folder.is_dir():
            write_tuned(folder, {**record, "split": settings.split}, before, command, base.versions())


def described(job: Job, settings: argparse.Namespace) -> dict[str, Any]:
    """Return what a record says of how its model was tuned."""
    counts = job.arm.counts(settings.steps)
    return {
        "rates": {**RATE, **job.arm.rates},
        "steps": {"align": counts["align"], "all": sum(counts.values()), "batch": BATCH},
    }


def share(record: dict[str, Any]) -> float:
    """Return a record's share of siblings told apart."""
    return str(record["siblings"]).count("1") / int(record["asked"])
