"""How much the published option sets give away without an image, and what closed sets do about it.

    python benchmarks/options_audit.py [--folder FOLDER] [--seeds 10]

FOLDER holds the published JSON files (``aircraft-102-ViT-L-14-laion2b_s32b_b82k-4.json`` and five more, gzipped or
not); without it they are looked for in ``$FGVR_REFERENCE/option_caches`` and ``../shared/reference/option_caches``,
and otherwise downloaded.  Takes about a minute on one core.  No image and no model is needed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
from pathlib import Path

import numpy as np
from tabulate import tabulate

from fgvr_bench.core.host import host
from fgvr_bench.core.option_audit import audit_rows, image_blind_accuracy, permute_truths
from fgvr_bench.core.published import fetch_published
from fgvr_bench.miners.closed import partition
from fgvr_bench.miners.random import draw

KEYS = ("aircraft-102", "bird-200", "car-196", "dog-120", "flower-102", "pet-37")
PLACES = (os.environ.get("FGVR_REFERENCE", ""), str(Path(__file__).parents[2] / "shared" / "reference"))


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10, help="divisions into halves that naive Bayes is run on")
    given = parser.parse_args()
    bayes, table = [], []
    for key in KEYS:
        labels, rows = read(find(key, given.folder))
        halves = [100 * image_blind_accuracy(rows, seed) for seed in range(given.seeds)]
        control = [100 * image_blind_accuracy(permute_truths(rows, seed), seed) for seed in range(given.seeds)]
        bayes.append([key, len(rows), statistics.mean(halves), statistics.stdev(halves), statistics.mean(control)])
        found, (closed, kept) = audit_rows(rows), close(rows, len(labels))
        sealed = audit_rows(closed)
        table.append(
            [
                key,
                len(rows),
                100 * found.strongest.accuracy,
                *(100 * accuracy for _, accuracy in found.curve),
                100 * sealed.strongest.accuracy,
                100 * sealed.strongest.class_accuracy,
                100 * kept,
            ]
        )
    print("Naive Bayes over the other choices, one half of the questions predicted from the other (accuracy in %)\n")
    print(tabulate([*bayes, average(bayes)], ["set", "questions", "halves", "deviation", "permuted"], floatfmt=".1f"))
    print("\nThe strongest predictor: each half from the other, the learning curve, and closed sets (accuracy in %)\n")
    heads = ["set", "questions", "halves", "5 %", "10 %", "25 %", "50 %", "75 %", "90 %"]
    heads += ["closed", "closed, by class", "wrong choices kept"]
    print(tabulate([*table, average(table)], heads, floatfmt=".1f"))


def find(key: str, folder: Path | None) -> Path:
    """Return the published JSON of a dataset: in the folder, in the reference data, or downloaded."""
    name = f"{key}-ViT-L-14-laion2b_s32b_b82k-4.json"
    folders = [folder] if folder else [Path(place, "option_caches") for place in PLACES if place]
    for path in (each / (name + suffix) for each in folders for suffix in ("", ".gz")):
        if path.is_file():
            return path
    return fetch_published(host().datasets[key].card)


def read(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the labels and the questions as label numbers, the truth first, in the order of images."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    entries = sorted(
        ((entry["image"], entry["options"]) for each in json.loads(raw).values() for entry in each),
        key=lambda entry: entry[0],
    )
    labels = sorted({label for _, options in entries for label in options})
    number = {label: place for place, label in enumerate(labels)}
    return labels, np.array([[number[label] for label in options] for _, options in entries], np.int64)


def close(rows: np.ndarray, labels: int, k: int = 4) -> tuple[np.ndarray, float]:
    """Return closed questions for the same images, grouped by who is shown with whom in `rows`.

    Also the share of the published wrong choices that are still offered.
    """
    together = np.zeros((labels, labels))
    np.add.at(together, (np.repeat(rows[:, 0], k - 1), rows[:, 1:].ravel()), 1)
    rate = together / (1 + np.bincount(rows[:, 0], minlength=labels))[:, None]
    groups = partition((rate + rate.T) / 2, k)
    mates = {member: [str(each) for each in group] for group in groups for member in group}
    closed = np.array(
        [
            [truth, *map(int, draw(f"0/{place}", mates[truth], str(truth), k - 1))]
            for place, truth in enumerate(rows[:, 0].tolist())
        ]
    )
    kept = [len(set(new[1:]) & set(old[1:])) / (k - 1) for new, old in zip(closed, rows, strict=True)]
    return closed, float(np.mean(kept))


def average(table: list[list]) -> list:
    """Return the means over all questions, as the last line of a table."""
    weights = [line[1] for line in table]
    columns = list(zip(*table, strict=True))[2:]
    means = (sum(w * value for w, value in zip(weights, column, strict=True)) / sum(weights) for column in columns)
    return ["all", sum(weights), *means]


if __name__ == "__main__":
    main()
