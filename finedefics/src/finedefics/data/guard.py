"""No test image gets into training: none by its path, none by its bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fgvr_bench.core.digest import image_hashes
from fgvr_bench.core.files import read_json, write_json
from fgvr_bench.core.names import slug
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.progress import Progress
from fgvr_bench.core.verify import TOLERATED
from fgvr_bench.errors import DataInvalid, FgvrError, UsageError
from fgvr_bench.interfaces import Dataset
from fgvr_bench.types import Example, FileImage, Split
from finedefics.data.selecting import Selected

UNREADABLE = "unreadable"
FORMAT = "finedefics/test-hashes"


@dataclass(slots=True)
class TestImages:
    """The test images of all datasets that are trained on."""

    __test__ = False  # its name begins as those of tests do

    paths: dict[str, str] = field(default_factory=dict)
    """Example id by real path."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Example id by SHA-256 of the encoded image."""
    compared: list[str] = field(default_factory=list)
    """Datasets that have a test split."""

    def add(self, dataset: Dataset, progress: Progress) -> None:
        """Take in a dataset's test split; one that has none adds nothing."""
        try:
            examples = dataset.examples(Split.TEST)
        except UsageError:
            return
        if not len(examples):
            return
        self.compared.append(dataset.card.name)
        for place in range(len(examples)):
            if path := real_path(examples[place]):
                self.paths[path] = examples[place].example_id
        self.hashes.update(_test_hashes(dataset, progress))


def _test_hashes(dataset: Dataset, progress: Progress) -> dict[str, str]:
    """Return example id by SHA-256 of each readable test image; those of a dataset that vouches for them are kept."""
    source = dataset.source_digest(Split.TEST)
    kept = None if source is None else cache_folder() / "test-hashes" / f"{slug(dataset.card.name)}-{source[:12]}.json"
    if kept is not None and kept.exists():
        with contextlib.suppress(FgvrError):
            stored = read_json(kept, FORMAT, (1,))
            if stored.get("source") == source and isinstance(stored.get("hashes"), dict):
                return dict(stored["hashes"])
    found = {
        image_hash: example_id
        for example_id, _, image_hash in image_hashes(dataset, Split.TEST, progress)
        if not image_hash.startswith(UNREADABLE)
    }
    if kept is not None:
        with contextlib.suppress(FgvrError):  # a cache that cannot be written costs time, never a result
            write_json(kept, {"format": FORMAT, "version": 1, "source": source, "hashes": found})
    return found


@dataclass(frozen=True, slots=True)
class Unfit:
    """Images that cannot be trained on."""

    test: dict[str, str]
    """Id of a chosen image, and the test image that it is."""
    unreadable: tuple[str, ...]


def unfit(selected: Selected, test: TestImages, progress: Progress) -> Unfit:
    """Return which of the chosen images are test images or cannot be read.

    Raises:
        DataInvalid: more than a published archive's few are test images, so that the folder must be a wrong one.
    """
    found: dict[str, str] = {}
    unreadable: list[str] = []
    chosen = selected.examples
    for example in _each(chosen):
        path = real_path(example)
        if path in test.paths:
            found[example.example_id] = test.paths[path]
    for example_id, _, image_hash in image_hashes(selected.dataset, selected.split, progress, chosen):
        if image_hash.startswith(UNREADABLE):
            unreadable.append(example_id)
        elif image_hash in test.hashes:
            found.setdefault(example_id, test.hashes[image_hash])
    if len(found) > max(1, TOLERATED * len(chosen)):
        named = ", ".join(f"{mine} is {theirs}" for mine, theirs in list(found.items())[:3])
        raise DataInvalid(
            f"{len(found):,} of {len(chosen):,} {selected.split} images of {selected.name} are test images: {named}.",
            hint=f"Look at the folders with: fgvr-bench datasets verify {selected.name}",
        )
    return Unfit(found, tuple(unreadable))


def real_path(example: Example) -> str | None:
    """Return the path of an example's file with links followed; None where it is no file."""
    return os.path.realpath(example.image.path) if isinstance(example.image, FileImage) else None


def _each(examples: Sequence[Example]) -> Iterator[Example]:
    return (examples[place] for place in range(len(examples)))
