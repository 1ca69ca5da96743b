"""``datasets verify``: opens every image of a dataset and compares what is there with what was published."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.core.overlap import record_overlap
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.errors import FgvrError, UsageError
from fgvr_bench.types import Example, Split

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset, DatasetPlugin

CHUNK = 32
TOLERATED = 0.01
"""Share of a split that may be equal to another image, byte for byte: published archives hold a few such."""
NAMED = 3
"""Examples named for each thing found."""


@dataclass(slots=True)
class SplitReport:
    """What one split holds."""

    split: str
    images: int = 0
    published: int | None = None
    """Number of images that were published; None where nobody said."""
    counts: Counter[str] = field(default_factory=Counter)
    """Number of images of each class."""
    due: Mapping[str, int] = field(default_factory=dict)
    """Published number of images of each class; empty where nobody said."""
    unreadable: list[str] = field(default_factory=list)
    """``id: reason``."""
    duplicates: list[tuple[str, ...]] = field(default_factory=list)
    """Groups of ids whose images are the same bytes."""
    digests: dict[bytes, str] = field(default_factory=dict)
    """First id of each image, by the first half of its SHA-256."""


@dataclass(slots=True)
class Report:
    """What a dataset holds, split by split."""

    dataset: str
    splits: list[SplitReport] = field(default_factory=list)
    shared: list[tuple[str, str]] = field(default_factory=list)
    """(test id, id elsewhere) of images that stand in the test split and in another one."""
    faults: list[str] = field(default_factory=list)
    """What is wrong, a sentence each; empty where the dataset is as published."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and not wrong."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify(
    plugin: DatasetPlugin,
    dataset: Dataset,
    *,
    splits: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress = quiet,
) -> Report:
    """Decode every image of the splits (by default all that are there) and return what was found.

    How many test images are train images is kept (see `overlap.known_overlap`), where both splits were looked at.
    Images are decoded in threads: Pillow lets go of the interpreter while it decodes.  Takes about 150 bytes
    of memory an image.

    Raises:
        DataInvalid: annotations or images that cannot be the dataset's.
    """
    report = Report(dataset.card.name, notes=list(dataset.remarks()))
    for split in splits or [str(split) for split in (Split.TEST, Split.VALIDATION, Split.TRAIN)]:
        try:
            examples = dataset.examples(split)
        except UsageError:
            if splits:
                raise
            continue
        except FgvrError as error:
            if split == Split.TEST or splits:
                raise
            report.notes.append(f"{split} was left out: {error.message}")
            continue
        report.splits.append(_survey(plugin, dataset, split, examples, workers, progress))
    _judge(report)
    found = {seen.split: seen for seen in report.splits}
    if Split.TEST in found and Split.TRAIN in found:
        record_overlap(dataset, Split.TEST, _count_shared(found[Split.TEST], found[Split.TRAIN]))
    return report


def _count_shared(test: SplitReport, train: SplitReport) -> int:
    """Return how many test images, copies within the split included, are train images."""
    shared = {test.digests[digest] for digest in test.digests.keys() & train.digests}
    return len(shared) + sum(len(group) - 1 for group in test.duplicates if group[0] in shared)


def _survey(
    plugin: DatasetPlugin,
    dataset: Dataset,
    split: str,
    examples: Sequence[Example],
    workers: int | None,
    progress: Progress,
) -> SplitReport:
    report = SplitReport(split, len(examples), dataset.card.images.get(split), due=plugin.class_counts(split))
    groups: dict[bytes, list[str]] = {}
    with progress(f"{dataset.card.name} {split}", len(examples)) as advance:
        for example_id, label, digest, fault in _look_at_all(examples, workers, advance):
            report.counts[label] += 1
            if fault:
                report.unreadable.append(f"{example_id}: {fault}")
            if digest is None:
                continue
            first = report.digests.setdefault(digest, example_id)
            if first != example_id:
                groups.setdefault(digest, [first]).append(example_id)
    report.duplicates = [tuple(group) for group in groups.values()]
    return report


_Seen = tuple[str, str, bytes | None, str]


def _look_at_all(examples: Sequence[Example], workers: int | None, advance: Callable[[int], None]) -> Iterator[_Seen]:
    """Yield (id, label, digest, fault) of each example, in order; a bounded number is looked at ahead."""
    threads = workers or min(32, (os.cpu_count() or 1) + 1)
    pending: deque[Future[list[_Seen]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        try:
            for start in range(0, len(examples), CHUNK):
                pending.append(pool.submit(_look_at, examples, range(start, min(start + CHUNK, len(examples)))))
                if len(pending) > 3 * threads:
                    seen = pending.popleft().result()
                    advance(len(seen))
                    yield from seen
            while pending:
                seen = pending.popleft().result()
                advance(len(seen))
                yield from seen
        finally:
            for future in pending:
                future.cancel()


def _look_at(examples: Sequence[Example], places: range) -> list[_Seen]:
    seen: list[_Seen] = []
    for place in places:
        example = examples[place]
        digest, fault = None, ""
        try:
            data = example.image.read()
            digest = hashlib.sha256(data).digest()[:16]
            decode_image(data)
        except (OSError, ImageInvalid) as error:
            fault = " ".join(str(error).split())
        seen.append((example.example_id, example.label, digest, fault))
    return seen


def _judge(report: Report) -> None:
    for found in report.splits:
        if found.published is not None and found.images != found.published:
            report.faults.append(f"{found.split} has {found.images} images, {found.published} were published")
        odd = [label for label, due in found.due.items() if found.counts[label] != due]
        if odd:
            told = [f"{label} {found.counts[label]} instead of {found.due[label]}" for label in odd]
            report.faults.append(f"{len(odd)} classes of {found.split} have another number of images: {_some(told)}")
        if found.unreadable:
            report.faults.append(
                f"{len(found.unreadable)} of {found.images} {found.split} images cannot be decoded: "
                f"{_some(found.unreadable)}"
            )
        copies = sum(len(group) - 1 for group in found.duplicates)
        if copies:
            pairs = [" = ".join(group) for group in found.duplicates]
            _tell(report, copies, found.images, f"{copies} {found.split} images are copies of others: {_some(pairs)}")
    test = next((found for found in report.splits if found.split == Split.TEST), None)
    for other in report.splits:
        if test is not None and other is not test:
            shared = [(test.digests[digest], other.digests[digest]) for digest in test.digests.keys() & other.digests]
            report.shared += sorted(shared)
            if shared:
                pairs = [f"{mine} = {theirs}" for mine, theirs in sorted(shared)]
                text = f"{len(shared)} test images are {other.split} images: {_some(pairs)}"
                _tell(report, len(shared), test.images, text)


def _tell(report: Report, count: int, images: int, text: str) -> None:
    """Call it a fault where it concerns more than a published archive's few."""
    (report.faults if count > TOLERATED * images else report.notes).append(text)


def _some(items: Sequence[str]) -> str:
    more = f", and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more
