"""How long a report of six datasets × 20 models takes, and how large it is, without pictures.

The runs are made up at full size: the published numbers of questions and classes of each dataset, ten models that
answer one letter whatever is asked and ten that draw one.

    python benchmarks/report_size.py
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fgvr_bench import __version__
from fgvr_bench.core.files import digest, write_jsonl
from fgvr_bench.core.host import host
from fgvr_bench.core.index import Index
from fgvr_bench.core.run_folder import RunFolder, file_digest, run_id
from fgvr_bench.report.build import ReportSettings, build_report

DATASETS = {
    "aircraft-102": (3333, 100),
    "bird-200": (5794, 200),
    "car-196": (8041, 196),
    "dog-120": (8580, 120),
    "flower-102": (6149, 102),
    "pet-37": (3669, 37),
}
"""Questions and classes, as published."""


def lines(dataset: str, labels: list[str], questions: int, model: int) -> Iterator[dict[str, Any]]:
    """Yield what a control answers; every model is asked the same."""
    asked, drawn = random.Random(dataset), random.Random(f"{dataset} {model}")
    for number in range(questions):
        choices = asked.sample(labels, 4)
        target = asked.randrange(4)
        yield {
            "question_id": f"{dataset}/test/{number:05}.jpg#multiple-choice.0",
            "label": choices[target],
            "choices": choices,
            "letters": "ABCD",
            "target": target,
            "truth_rank": asked.choice((1, 1, 1, 2, 3, 5, 12)),
            "completion": "A" if model % 2 else drawn.choice("ABCD"),
            "stop": "eos",
            "tokens": 1,
        }


def make_run(results: Path, dataset: str, model: int) -> None:
    """Write a complete run."""
    questions, classes = DATASETS[dataset]
    labels = [f"Species_{number:03}_of_{dataset}" for number in range(classes)]
    name = f"{'always-a' if model % 2 else 'random'}-{model:02}"
    inputs = {
        "dataset": {"name": dataset, "split": "test", "digest": digest([dataset]), "labels": digest(labels)},
        "options": {"digest": digest(dataset), "miner": "published", "k": 4},
        "protocol": "fgvr-1",
        "task": "multiple-choice",
        "task_facts": {},
        "seed": 0,
        "permutations": 1,
        "images": "shown",
        "model": {"name": name},
    }
    folder = RunFolder.of(results, dataset, name, run_id(inputs))
    rows = list(lines(dataset, labels, questions, model))
    write_jsonl(folder.responses_file, rows)
    right = sum(row["completion"] == "ABCD"[row["target"]] for row in rows)
    folder.write_run(
        {
            "complete": True,
            "run_id": run_id(inputs),
            "model": name,
            "dataset": dataset,
            "inputs": inputs,
            "labels": labels,
            "questions": questions,
            "batch_size": 1,
            "failed": 0,
            "main_metric": "accuracy",
            "metrics": {"accuracy": right / questions, "chance": 0.25},
            "card": {"title": "made up"},
            "scored_by": __version__,
            "responses_sha256": file_digest(folder.responses_file),
        }
    )


def main() -> None:
    """Make the runs, build the report, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="Leave results and report in this folder.")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp())
    results, out = folder / "results", folder / "report"
    for dataset in DATASETS:
        for model in range(arguments.models):
            make_run(results, dataset, model)
    began = time.process_time()
    with Index(folder / "runs.sqlite") as index:
        found = index.read([results], host())
        checking = time.process_time() - began
        built = build_report(host(), found.runs, out, ReportSettings(pictures=False), index=index)
    seconds = time.process_time() - began - checking
    files = [path for path in out.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"runs                {built.runs}")
    print(f"answers             {built.answers:,}")
    print(f"checking the runs   {checking:.1f} s of one core, once")
    print(f"building            {seconds:.1f} s of one core ({built.answers / seconds:,.0f} answers/s)")
    print(f"size                {sum(path.stat().st_size for path in files) / 1e6:.1f} MB in {len(files):,} files")
    print(f"largest file        {largest.relative_to(out)}, {largest.stat().st_size / 1e3:.0f} kB")
    print(f"board page          {(out / 'index.html').stat().st_size / 1e3:.0f} kB")
    print(f"peak memory         {peak:.0f} MiB")
    if arguments.keep is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
