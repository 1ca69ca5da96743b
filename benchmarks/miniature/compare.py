"""Stage I and II against stage II alone, and everything else that is measured of tuned models.

One suite after the other, one model after the other; each measured model is a line of the results' file at once, and
what is there already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.miniature import images
from benchmarks.miniature.arms import ABLATIONS, ALONE, BATCH, BOTH, HELD_OUT, RATE, STEPS, Arm
from benchmarks.miniature.material import rows_for

from fgvr_bench.core.paths import cache_folder

RESULTS = Path(__file__).parent / "results"
SHOTS, SEEDS = 8, 5
"""Of the comparison that was fixed beforehand."""
EVERY = 4
"""Genera, and siblings with a grey picture, are asked of every fourth image."""


@dataclass(frozen=True, slots=True)
class Job:
    """A model to be tuned and measured."""

    arm: Arm
    shots: int
    seed: int


def suites() -> dict[str, list[Job]]:
    """Return what each suite measures, in order; seed by seed, so that arms share prepared rows."""
    return {
        "main": [Job(arm, SHOTS, seed) for seed in range(SEEDS) for arm in (BOTH, ALONE)],
        "shots": [Job(arm, shots, seed) for shots in (4, 16, 32) for seed in (0, 1) for arm in (BOTH, ALONE)],
        "ablations": [Job(arm, SHOTS, seed) for seed in (0, 1) for arm in ABLATIONS],
        "held-out": [Job(arm, SHOTS, seed) for seed in (0, 1) for arm in HELD_OUT],
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings."""
    parser.add_argument("--base", type=Path, required=True, help="checkpoint of the base model")
    parser.add_argument("--suite", choices=[*suites(), "all"], default="main")
    parser.add_argument("--split", choices=["validation", "test"], default="test")
    parser.add_argument("--out", type=Path, default=None, help="file of results, a line a model")
    parser.add_argument("--rows", type=Path, default=cache_folder() / "miniature" / "rows", help="folder of rows")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda takes the first GPU")
    parser.add_argument("--per-species", type=int, default=None, help="images a species of the split (all)")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps of an arm")
    parser.add_argument("--shots", type=int, default=None, help="as many images a species in every arm (the suite's)")
    parser.add_argument("--seeds", type=int, nargs="*", default=None, help="only these seeds")
    parser.add_argument("--keep", type=Path, default=None, help="folder for the checkpoints of 'both stages'")


def run(settings: argparse.Namespace) -> int:
    """Tune and measure; return 0."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from benchmarks.miniature import architecture, base
    from benchmarks.miniature.exam import Exam
    from transformers import AutoTokenizer

    processor = architecture.make_processor(AutoTokenizer.from_pretrained(settings.base))
    model = base.load(settings.base, settings.device)
    pixels, examples = images.named(settings.split, settings.per_species, 1)
    exam = Exam(examples, pixels, processor.tokenizer, settings.device)
    out = settings.out or RESULTS / f"{settings.split}.jsonl"
    book = Book(out)
    if ("base", 0, 0) not in book.done:
        book.add({"arm": "base", "shots": 0, "seed": 0, **measured(exam, model)})
    for number, job in enumerate(wanted(settings)):
        if (job.arm.name, job.shots, job.seed) in book.done:
            continue
        record = carry_out(job, settings, model, processor, exam)
        book.add(record)
        said = f"{number + 1}: {job.arm.name}, {job.shots} shots, seed {job.seed}: siblings {share(record):.1%}"
        print(f"{said}, {record['seconds']:.0f} s", flush=True)
    if settings.keep is not None:
        write_cards(settings, book.records)
    return 0


def wanted(settings: argparse.Namespace) -> Iterator[Job]:
    """Yield the jobs that were asked for."""
    every = suites()
    for name in every if settings.suite == "all" else (settings.suite,):
        for job in every[name]:
            if settings.seeds is None or job.seed in settings.seeds:
                yield job if settings.shots is None else replace(job, shots=settings.shots)


class Book:
    """The file of results: a line a model, written as soon as it is measured."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = read_records(path)
        self.done = {(record["arm"], record["shots"], record["seed"]) for record in self.records}

    def add(self, record: dict[str, Any]) -> None:
        """Write a record."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.records.append(record)
        self.done.add((record["arm"], record["shots"], record["seed"]))


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def carry_out(job: Job, settings: argparse.Namespace, model: Any, processor: Any, exam: Any) -> dict[str, Any]:
    """Tune a copy of the base model as a job has it, and measure it."""
    from benchmarks.miniature import base
    from benchmarks.miniature.arms import tune_arm

    rows = rows_for(job.arm.wished(job.shots, job.seed), settings.rows)
    tuned = tune_arm(job.arm, rows, model, processor, job.seed, settings.steps, settings.device)
    record = {
        "arm": job.arm.name,
        "shots": job.shots,
        "seed": job.seed,
        **measured(exam, tuned.model),
        "parameters": sum(parameter.numel() for parameter in tuned.model.parameters()),
        "losses": tuned.losses,
        "rates": {**RATE, **job.arm.rates},
        "steps": {"align": job.arm.aligned(settings.steps), "all": settings.steps, "batch": BATCH},
        "device": base.device_name(settings.device),
        "seconds": round(tuned.seconds, 1),
    }
    if settings.keep is not None and job.arm == BOTH:
        base.save(tuned.model, processor, settings.keep / f"{job.shots}-{job.seed}")
    return record


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


def measured(exam: Any, model: Any) -> dict[str, Any]:
    """Return what a model gets right: of siblings each question, of the rest how many of how many."""
    from benchmarks.miniature.alignment import alignment

    siblings = exam.right(model, exam.siblings)
    blind = exam.right(model, exam.siblings, blind=True, every=EVERY)
    genera = exam.right(model, exam.genera, every=EVERY)
    return {
        "asked": len(siblings),
        "siblings": "".join("01"[right] for right in siblings),
        "genera": [sum(genera), len(genera)],
        "blind": [sum(blind), len(blind)],
        "aligned": alignment(model, exam, EVERY),
    }


def share(record: dict[str, Any]) -> float:
    """Return a record's share of siblings told apart."""
    return str(record["siblings"]).count("1") / int(record["asked"])
