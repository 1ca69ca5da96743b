"""How long a board of many runs takes, and how its memory grows with their number.

Result folders are made up (models of rising skill, six datasets, classes of uneven difficulty) and written as real
runs.  ``first`` looks through every answer and fills the index; ``again`` finds all in it; ``changed`` does after one
run was touched.  Each is a process of its own, so the time is that of the command as a user types it.

    python benchmarks/leaderboard.py --runs 1000
    python benchmarks/leaderboard.py --runs 1000 --runs 10000 --questions 120
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


def build(folder: Path, cache: Path) -> tuple[float, float, float]:
    """Build the board in a process of its own; return seconds, those of a processor, and its highest memory in MiB."""
    words = [sys.executable, "-m", "fgvr_bench", "leaderboard", "build", str(folder), "--format", "csv"]
    begun = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, "FGVR_CACHE": str(cache)})
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        raise SystemExit("the board could not be built")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure, and print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, action="append", help="how many runs; several times for several sizes")
    parser.add_argument("--questions", type=int, default=600, help="questions a run")
    parser.add_argument("--times", type=int, default=3, help="how often a board is built again; the median is told")
    arguments = parser.parse_args()
    print(f"{'':>17} | {'first':^20} | {'again':^20} | {'changed':^20}")
    print(f"{'runs':>7} {'questions':>9}" + f" | {'s':>6} {'cpu s':>6} {'MiB':>6}" * 3)
    for runs in arguments.runs or [1000]:
        with tempfile.TemporaryDirectory() as place:
            folder, cache = Path(place, "results"), Path(place, "cache")
            write_runs(folder, runs, arguments.questions)
            time.sleep(3)  # files that were written just now are looked through twice
            first = build(folder, cache)
            again = sorted(build(folder, cache) for _ in range(arguments.times))[arguments.times // 2]
            next(folder.rglob("run.json")).touch()
            changed = build(folder, cache)
        told = "".join(f" | {wall:>6.2f} {cpu:>6.2f} {much:>6.0f}" for wall, cpu, much in (first, again, changed))
        print(f"{runs:>7,} {arguments.questions:>9,}{told}", flush=True)


if __name__ == "__main__":
    main()
