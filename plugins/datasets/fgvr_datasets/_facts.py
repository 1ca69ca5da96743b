"""What was published of the datasets beside their files: labels, numbers of images, option sets."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from fgvr_bench.interfaces import PublishedOptions

CACHES = (
    "https://raw.githubusercontent.com/PKU-ICST-MIPL/Finedefics_ICLR2025/"
    "a179c352c16614e720d03e35cec584ee51ba07fb/FOCI-Benchmark/data/{key}-ViT-L-14-laion2b_s32b_b82k-4.json"
)


def published(key: str, sha256: str) -> PublishedOptions:
    """Return the published option set of a dataset, mined with CLIP ViT-L-14."""
    return PublishedOptions(CACHES.format(key=key), sha256, model="ViT-L-14", weights="laion2b_s32b_b82k")


@functools.cache
def _class_table() -> dict[str, dict[str, int]]:
    import csv

    table: dict[str, dict[str, int]] = {}
    with Path(__file__).with_name("classes.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            table.setdefault(row["dataset"], {})[row["label"]] = int(row["test_images"])
    return table


def published_classes(key: str) -> Mapping[str, int]:
    """Return the published labels of a dataset, in official order, with their number of test images."""
    return _class_table()[key]
