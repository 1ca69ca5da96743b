"""What a dataset's split consists of, as one digest: every id, label and image.

The digest is the SHA-256 of lines of canonical JSON.  First a header, then for each example, in the order of
ids, ``[example_id, label, SHA-256 of the encoded image]``; an image that cannot be read stands as
``unreadable: <error>``.  A dataset that vouches for its images itself (`Dataset.source_digest`) has lines
``[example_id, label]`` and that string in the header.

Hashes are cached by the image's stamp (of a file: path, size and time of modification), so that the next survey
costs one ``stat`` an image.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fgvr_bench.core.files import atomic_writer, canonical_json, digest
from fgvr_bench.core.names import slug
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.errors import DataInvalid, FgvrError
from fgvr_bench.types import Example, ImageSource, Stamp

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Dataset

CHUNK = 64
"""Examples that one thread takes at a time."""
SETTLED_SECONDS = 2.0
"""A file modified so recently may change again within the clock's tick; its hash is not cached."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What reading a split found."""

    digest: str
    """SHA-256 over ids, labels and images, in hexadecimal."""
    examples: int
    unreadable: int
    """Images that could not be read."""


def dataset_digest(dataset: Dataset, split: str, progress: Progress = quiet) -> str:
    """Return the digest of a split; it changes whenever an id, a label or an image does.

    Raises:
        DataInvalid: the plugin's examples are not sorted by id, or two have one id.
    """
    return survey(dataset, split, progress).digest


def survey(dataset: Dataset, split: str, progress: Progress = quiet) -> Survey:
    """Read every image of a split once (files known from an earlier time are not read again).

    Memory: about 50 bytes an example.
    """
    examples = dataset.examples(split)
    source = dataset.source_digest(split)
    hasher = hashlib.sha256()
    header = {"format": "fgvr-bench/dataset-digest", "version": 1, "source": source}
    hasher.update(canonical_json(header).encode() + b"\n")
    if source is not None:
        for example in in_order(examples):
            hasher.update(canonical_json([example.example_id, example.label]).encode() + b"\n")
        return Survey(hasher.hexdigest(), len(examples), 0)
    unreadable = 0
    for example_id, label, image_hash in image_hashes(dataset, split, progress):
        hasher.update(canonical_json([example_id, label, image_hash]).encode() + b"\n")
        unreadable += image_hash.startswith("unreadable")
    return Survey(hasher.hexdigest(), len(examples), unreadable)


def image_hashes(
    dataset: Dataset, split: str, progress: Progress = quiet, examples: Sequence[Example] | None = None
) -> Iterator[tuple[str, str, str]]:
    """Yield id, label and SHA-256 of the encoded image (or ``unreadable: <error>``) of each example, in order.

    ``examples`` takes some of the split's alone, sorted by id.  Image files whose hash is cached are not read.
    """
    asked = dataset.examples(split) if examples is None else examples
    cache, complete = _HashCache(_cache_path(dataset, split)), False
    try:
        with progress(f"reading {dataset.card.name} {split}", len(asked)) as advance:
            for chunk, hashes in _hash_all(in_order(asked), cache):
                for (example_id, label), image_hash in zip(chunk, hashes, strict=True):
                    yield example_id, label, image_hash
                advance(len(chunk))
        complete = examples is None
    finally:
        cache.save(complete)


def in_order(examples: Sequence[Example]) -> Iterator[Example]:
    """Yield the examples, making sure that ids rise (a plugin's promise that merges and digests rest on).

    Raises:
        DataInvalid: two neighbours are out of order or have one id.
    """
    last = ""
    for index in range(len(examples)):
        example = examples[index]
        if example.example_id <= last:
            what = "occurs twice" if example.example_id == last else f"comes after {last}"
            raise DataInvalid(
                f"example {example.example_id} {what}; ids have to be unique and sorted.",
                hint="This is a defect of the dataset's plugin.",
            )
        last = example.example_id
        yield example


_Names = list[tuple[str, str]]


def _hash_all(examples: Iterator[Example], cache: _HashCache) -> Iterator[tuple[_Names, list[str]]]:
    """Yield (ids and labels, image hashes) a chunk, in order; threads read and hash ahead."""
    threads = min(32, (os.cpu_count() or 1) + 4)
    pending: deque[tuple[_Names, Future[list[str]]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="hash") as pool:
        try:
            while chunk := [example for _, example in zip(range(CHUNK), examples, strict=False)]:
                names = [(example.example_id, example.label) for example in chunk]
                images = [example.image for example in chunk]
                pending.append((names, pool.submit(lambda images: [cache.hash(image) for image in images], images)))
                if len(pending) > 2 * threads:
                    names, future = pending.popleft()
                    yield names, future.result()
            while pending:
                names, future = pending.popleft()
                yield names, future.result()
        finally:
            for _, future in pending:
                future.cancel()


def _cache_path(dataset: Dataset, split: str) -> Path:
    where = digest([str(dataset.root), split])[:12]
    return cache_folder() / "digests" / f"{slug(dataset.card.name)}-{where}.bin"


class _HashCache:
    """SHA-256 by stamp: rows of a 64-bit key and 32 bytes, sorted by key."""

    ROW = 40

    def __init__(self, path: Path) -> None:
        import numpy as np

        self._path = path
        self._dtype = np.dtype([("key", "<u8"), ("hash", "u1", 32)])
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        self._rows = np.frombuffer(data[: len(data) // self.ROW * self.ROW], self._dtype)
        self._keys = np.ascontiguousarray(self._rows["key"])
        self._scalar = np.uint64
        self._used = array.array("b", bytes(len(self._rows)))
        self._new = bytearray()

    def hash(self, image: ImageSource) -> str:
        """Return the SHA-256 of an image's bytes, or ``unreadable: ...``.  Called from several threads."""
        try:
            stamp = image.stamp() if hasattr(image, "stamp") else None
            if stamp is None:
                return hashlib.sha256(image.read()).hexdigest()
            key = self._key(stamp)
            index = int(self._keys.searchsorted(self._scalar(key)))
            if index < len(self._keys) and int(self._keys[index]) == key:
                self._used[index] = 1
                return bytes(self._rows["hash"][index]).hex()
            found = hashlib.sha256(image.read()).digest()
            if time.time() - stamp.modified > SETTLED_SECONDS:
                self._new += key.to_bytes(8, "little") + found  # one step under the interpreter's lock
            return found.hex()
        except OSError as error:
            # the kind alone: messages hold paths and the system's language
            return f"unreadable: {type(error).__name__}"

    @staticmethod
    def _key(stamp: Stamp) -> int:
        made = hashlib.blake2b(stamp.text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(made, "little")

    def save(self, complete: bool) -> None:
        """Write what was learnt; rows of files that are gone are dropped after a complete survey.

        A cache that cannot be written costs time, never a result.
        """
        import numpy as np

        if not self._new:
            return
        kept = self._rows[np.frombuffer(self._used, np.int8) == 1] if complete else self._rows
        rows = np.concatenate([kept, np.frombuffer(bytes(self._new), self._dtype)])
        with contextlib.suppress(FgvrError), atomic_writer(self._path) as file:
            file.write(rows[np.argsort(rows["key"], kind="stable")].tobytes())
