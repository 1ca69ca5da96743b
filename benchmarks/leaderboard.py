"""How long a board of many runs takes, and how its memory grows with their number.

Result folders are made up (models of rising skill, six datasets, classes of uneven difficulty) and written as real
runs.  ``first`` looks through every answer and fills the index; ``again`` finds all in it; ``changed`` does after one
run was touched.  Each is a process of its own, so the time is that of the command as a user types it.  Beneath stands
how much more memory a run more takes, from each size to the next.  ``--others`` measures ``results verify``,
``results merge`` and ``report`` as well.

    python benchmarks/leaderboard.py
    python benchmarks/leaderboard.py --runs 1000 --questions 600
    python benchmarks/leaderboard.py --others
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fgvr_bench import __version__
from fgvr_bench.core.files import canonical_json
from fgvr_bench.core.run_folder import RunFolder, run_id

DATASETS = ("one", "two", "three", "four", "five", "six")
CLASSES = 60
LETTERS = "ABCD"


def write_runs(folder: Path, runs: int, questions: int) -> None:
    """Write `runs` runs of `questions` questions below a folder."""
    models = -(-runs // len(DATASETS))
    generator = np.random.default_rng(0)
    for number, dataset in enumerate(DATASETS):
        labels = [f"Species {number} {each:03}" for each in range(CLASSES)]
        ease = generator.normal(0, 0.8, CLASSES)
        lines, targets, classes = _questions(dataset, labels, questions, generator)
        for model in range(models):
            if model * len(DATASETS) + number < runs:
                skill = 0.3 + 1.5 * model / models
                right = generator.random(questions) < 1 / (1 + np.exp(-(ease[classes] + skill)))
                _write(folder, dataset, f"model-{model:04}", labels, lines, targets, right)


def _questions(
    dataset: str, labels: Sequence[str], count: int, generator: np.random.Generator
) -> tuple[list[dict[str, object]], list[int], np.ndarray]:
    classes = np.sort(generator.integers(0, len(labels), count))
    lines, targets = [], []
    for place, truth in enumerate(classes.tolist()):
        others = [(truth + step) % len(labels) for step in (1, 2, 3 + place % 5)]
        order = generator.permutation(4).tolist()
        choices = [labels[[truth, *others][each]] for each in order]
        targets.append(order.index(0))
        question_id = f"{dataset}/test/{labels[truth]}/{place:06}#multiple-choice.0"
        lines.append(
            {"question_id": question_id, "label": labels[truth], "choices": choices, "letters": LETTERS,
             "target": order.index(0), "stop": "eos", "tokens": 1}
        )  # fmt: skip
    return lines, targets, classes


def _write(
    folder: Path,
    dataset: str,
    model: str,
    labels: Sequence[str],
    lines: Sequence[dict[str, object]],
    targets: Sequence[int],
    right: np.ndarray,
) -> None:
    """Write one run whose answers are right where `right` says so."""
    inputs = {
        "dataset": {"name": dataset, "split": "test", "digest": "0" * 64},
        "options": {"digest": "1" * 64, "miner": "clip", "k": 4},
        "protocol": "fgvr-1",
        "task": "multiple-choice",
        "model": {"name": model, "checkpoint": f"organisation/{model}", "dtype": "bfloat16", "revision": "2" * 40},
        "decoding": {"name": "generate", "max_new_tokens": 64, "full_text": False},
        "batch_plan": {"batch_size": "auto", "rule": "stratified-1"},
        "images": "shown", "permutations": 1, "seed": 0, "subset": None, "task_facts": {},
    }  # fmt: skip
    path = RunFolder.of(folder, dataset, model, run_id(inputs))
    path.path.mkdir(parents=True)
    given = [LETTERS[target if good else (target + 1) % 4] for target, good in zip(targets, right, strict=True)]
    text = "".join(
        canonical_json({**line, "completion": letter}) + "\n" for line, letter in zip(lines, given, strict=True)
    ).encode()
    path.responses_file.write_bytes(text)
    content = {
        "format": "fgvr-bench/run", "version": 1, "complete": True, "run_id": run_id(inputs), "model": model,
        "dataset": dataset, "inputs": inputs, "labels": list(labels), "questions": len(right), "batch_size": 16,
        "failed": 0, "metrics": {"accuracy": int(right.sum()) / len(right), "tokens": 1.0, "unparsed": 0.0},
        "main_metric": "accuracy", "card": {"exposure": "zero-shot", "parameters": 7_000_000_000}, "facts": {},
        "scored_by": __version__, "responses_sha256": hashlib.sha256(text).hexdigest(),
    }  # fmt: skip
    path.run_file.write_text(canonical_json(content) + "\n")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took: seconds, those of a processor, and its highest memory in MiB."""

    seconds: float
    processor: float
    memory: float

    def __str__(self) -> str:
        return f" | {self.seconds:>6.2f} {self.processor:>6.2f} {self.memory:>6.1f}"


def cost(cache: Path, *words: str, may_fail: bool = False) -> Cost:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "fgvr_bench", *words]
    begun = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, "FGVR_CACHE": str(cache)}, **quiet)
    _, status, usage = os.wait4(process.pid, 0)
    if status and not may_fail:
        raise SystemExit(f"{' '.join(words)} failed")
    return Cost(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def of_board(folder: Path, cache: Path, times: int) -> dict[str, Cost]:
    """Build a board for the first time, again, and after a run was touched."""
    words = ("leaderboard", "build", str(folder), "--format", "csv")
    time.sleep(3)  # files that were written just now are looked through twice
    first = cost(cache, *words)
    again = sorted((cost(cache, *words) for _ in range(times)), key=lambda each: each.seconds)[times // 2]
    next(folder.rglob("run.json")).touch()
    return {"first": first, "again": again, "changed": cost(cache, *words)}


def of_others(folder: Path, cache: Path) -> dict[str, Cost]:
    """Verify (runs that are made up are called wrong), merge and report."""
    place = folder.parent
    return {
        "verify": cost(cache, "results", "verify", str(folder), may_fail=True),
        "merge": cost(cache, "results", "merge", str(folder), "--into", str(place / "all")),
        "report": cost(cache, "report", str(folder), "--no-pictures", "--out", str(place / "report")),
    }


def main() -> None:
    """Measure, and print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, action="append", help="how many runs; several times for several sizes")
    parser.add_argument("--questions", type=int, default=120, help="questions a run")
    parser.add_argument("--times", type=int, default=3, help="how often a board is built again; the median is told")
    parser.add_argument("--others", action="store_true", help="measure verify, merge and report too")
    arguments = parser.parse_args()
    names = ["first", "again", "changed", *(["verify", "merge", "report"] if arguments.others else [])]
    print(f"{'':>17}" + "".join(f" | {name:^20}" for name in names))
    print(f"{'runs':>7} {'questions':>9}" + f" | {'s':>6} {'cpu s':>6} {'MiB':>6}" * len(names))
    before: tuple[int, dict[str, Cost]] | None = None
    for runs in arguments.runs or [100, 1000, 10000]:
        with tempfile.TemporaryDirectory() as place:
            folder, cache = Path(place, "results"), Path(place, "cache")
            write_runs(folder, runs, arguments.questions)
            found = of_board(folder, cache, arguments.times)
            found |= of_others(folder, cache) if arguments.others else {}
        print(f"{runs:>7,} {arguments.questions:>9,}" + "".join(map(str, found.values())), flush=True)
        if before:
            more = [(found[name].memory - before[1][name].memory) * 1024 / (runs - before[0]) for name in names]
            print(f"{'KiB a run more':>17}" + "".join(f" | {each:>20.2f}" for each in more), flush=True)
        before = runs, found


if __name__ == "__main__":
    main()
