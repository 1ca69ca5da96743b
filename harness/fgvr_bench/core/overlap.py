"""How many test images ``datasets verify`` found among the train images: kept, so that a run can say so.

What was found holds for the files that it was found in.  A record names them by id and stamp (or by the digest that
a dataset vouches for), and says nothing once one of them is another.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from fgvr_bench.core.files import canonical_json, digest, read_json, write_json
from fgvr_bench.core.names import slug
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.errors import FgvrError
from fgvr_bench.types import Split

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset

FORMAT = "fgvr-bench/overlap"


def record_overlap(dataset: Dataset, split: str, images: int) -> None:
    """Keep that so many images of `split` are train images, byte for byte.

    A record that cannot be written costs a caution, never a verdict.
    """
    with contextlib.suppress(FgvrError):
        files = {name: _fingerprint(dataset, name) for name in (split, str(Split.TRAIN))}
        write_json(_path(dataset, split), {"format": FORMAT, "version": 1, "files": files, "images": images})


def known_overlap(dataset: Dataset, split: str) -> int | None:
    """Return how many images of `split` are train images byte for byte; None where nobody has looked.

    Reads no image; costs one ``stat`` an image of both splits, and nothing where there is no record.
    """
    path = _path(dataset, split)
    if not path.is_file():
        return None
    with contextlib.suppress(FgvrError, KeyError, TypeError, ValueError, AttributeError):
        found = read_json(path, FORMAT, (1,))
        if all(_fingerprint(dataset, name) == known for name, known in found["files"].items()):
            return int(found["images"])
    return None


def _path(dataset: Dataset, split: str) -> Path:
    where = digest([str(dataset.root), split])[:12]
    return cache_folder() / "overlaps" / f"{slug(dataset.card.name)}-{where}.json"


def _fingerprint(dataset: Dataset, split: str) -> str:
    """Return a digest of the split's ids and of its images' stamps."""
    examples = dataset.examples(split)
    hasher = hashlib.sha256(canonical_json(dataset.source_digest(split)).encode())
    for index in range(len(examples)):
        example = examples[index]
        state = ""
        if hasattr(example.image, "stamp"):
            with contextlib.suppress(OSError):
                state = example.image.stamp().text
        hasher.update(canonical_json([example.example_id, state]).encode() + b"\n")
    return hasher.hexdigest()
