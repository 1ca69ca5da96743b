"""A fast first pass in half precision, then float32 for the images that it leaves in doubt.

An image is in doubt where two neighbours among the k most similar wrong labels lie within the margin.  The
margin is four times the largest error of a difference of two similarities over a sample that is recomputed
exactly; another sample audits it.  Both figures stand in the header.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.locks import lock
from fgvr_bench.miners.embeddings import Embeddings, store_path
from fgvr_bench.miners.reading import read_images
from fgvr_bench.miners.rows import Truths, similarities
from fgvr_bench.miners.rule import choose, gaps
from fgvr_bench.types import Example, Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fgvr_bench.interfaces import Dataset, MiningSettings
    from fgvr_bench.miners.encoder import Encoder

CALIBRATED = 2000
AUDITED = 1000
SAFETY = 4.0


class ExactRows:
    """Exact embeddings of some examples, kept in a file of (position, row) records that grows."""

    def __init__(self, path: Path, dimensions: int) -> None:
        import numpy as np

        self._path = path
        self._dtype = np.dtype([("index", "<i8"), ("row", "<f4", dimensions)])
        self._refresh()

    def _refresh(self) -> None:
        import numpy as np

        size = self._path.stat().st_size // self._dtype.itemsize if self._path.exists() else 0
        records: Any = np.memmap(self._path, self._dtype, "r", shape=(size,)) if size else np.empty(0, self._dtype)
        self._records = records
        indices = np.array(records["index"])
        self._order = np.argsort(indices, kind="stable")
        self.indices: NDArray[np.int64] = indices[self._order]
        """Positions of the examples that are there, rising."""

    def __contains__(self, index: int) -> bool:
        place = int(self.indices.searchsorted(index))
        return place < len(self.indices) and int(self.indices[place]) == index

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the rows of examples that are there."""
        import numpy as np

        places = self._order[self.indices.searchsorted(indices)]
        return np.array(self._records["row"][places])

    def add(
        self, wanted: Iterable[int], examples: Sequence[Example], encoder: Encoder, settings: MiningSettings
    ) -> None:
        """Embed the examples that are not there yet; what is done stays if it is interrupted."""
        import numpy as np

        with lock(self._path.with_suffix(".rows.lock"), "embedding images again in float32"):
            self._refresh()
            missing = sorted({index for index in wanted if index not in self})
            if not missing:
                return
            on_gpu = encoder.loaded.device.startswith("cuda")
            size = settings.batch_size or (256 if on_gpu else 32)
            self._records = None
            with self._path.open("ab") as file:
                file.truncate(file.tell() // self._dtype.itemsize * self._dtype.itemsize)
                for batch in read_images(examples, missing, size, encoder.loaded.preprocess, settings.workers, on_gpu):
                    good = [index for index in batch.indices if index not in batch.unreadable]
                    records = np.empty(len(good), self._dtype)
                    records["index"] = good
                    if batch.pixels is not None:
                        records["row"] = encoder.images(batch.pixels)
                    file.write(records.tobytes())
                    file.flush()
            self._refresh()


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The outcome of a recheck."""

    exact: ExactRows | None
    found: dict[str, Json]
    """Margin, samples and counts, for the header."""

    def replace(self, start: int, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a chunk of the first pass with the exact rows in their places."""
        import numpy as np

        if self.exact is None:
            return rows
        first, last = self.exact.indices.searchsorted([start, start + len(rows)])
        there = self.exact.indices[first:last]
        mixed = np.array(rows)
        if len(there):
            mixed[there - start] = self.exact.rows(there)
        return mixed


def recheck(
    dataset: Dataset,
    examples: Sequence[Example],
    first_pass: Embeddings,
    exact: Encoder,
    texts: NDArray[np.float64],
    settings: MiningSettings,
) -> Rechecked:
    """Embed again, exactly, every image whose options the first pass leaves in doubt."""
    import numpy as np

    truths = Truths(dataset.labels())
    path = store_path(dataset, examples, exact, settings).with_suffix(".rows")
    rows = ExactRows(path, first_pass.dimensions)
    calibration, audit = _samples(first_pass)
    rows.add([*calibration, *audit], examples, exact, settings)
    error = _largest_error(first_pass, rows, calibration, texts)
    audit_error = _largest_error(first_pass, rows, audit, texts)
    margin = SAFETY * error
    if audit_error > margin:  # the calibration missed something: the audit's error sets the margin
        margin = SAFETY * audit_error
    doubtful: list[int] = []
    different = 0
    audited = set(audit)
    for start, chunk in first_pass.chunks():
        truth = truths.of(examples, start, start + len(chunk))
        scores = similarities(chunk, texts)
        readable = np.array([index not in first_pass.unreadable for index in range(start, start + len(chunk))])
        sure = gaps(scores, truth, settings.k) > margin  # a NaN of the first pass is not sure
        doubtful.extend((np.flatnonzero(readable & ~sure) + start).tolist())
        check = [place for place in np.flatnonzero(readable & sure) if start + int(place) in audited]
        if check:
            again = similarities(rows.rows(np.array(check) + start), texts)
            before = choose(scores[check], truth[check], settings.k).choices
            different += int((before != choose(again, truth[check], settings.k).choices).any(axis=1).sum())
    rows.add(doubtful, examples, exact, settings)
    found: dict[str, Json] = {
        "margin": margin,
        "calibrated_on": len(calibration),
        "largest_error": error,
        "audited_on": len(audit),
        "audit_largest_error": audit_error,
        "audit_sets_different": different,
        "in_doubt": len(doubtful),
        "similarities": "of images that were not in doubt: those of the first pass",
    }
    return Rechecked(rows, {"fast_pass": found})


def _samples(first_pass: Embeddings) -> tuple[list[int], list[int]]:
    """Return positions for calibration and for the audit, disjoint, the same each time."""
    readable = first_pass.count - len(first_pass.unreadable)
    wanted = min(CALIBRATED, -(-readable // 5)) + min(AUDITED, readable // 10)
    drawn: dict[int, None] = {}
    generator = random.Random(0)  # noqa: S311 - no secret
    while len(drawn) < wanted:
        index = int(generator.random() * first_pass.count)
        if index not in first_pass.unreadable:
            drawn[index] = None
    indices = list(drawn)
    split = min(CALIBRATED, -(-readable // 5))
    return sorted(indices[:split]), sorted(indices[split:])


def _largest_error(first_pass: Embeddings, exact: ExactRows, sample: list[int], texts: NDArray[np.float64]) -> float:
    """Return the largest error of a difference of two similarities of one image, over a sample."""
    import numpy as np

    largest = 0.0
    indices = np.array(sample, np.int64)
    for start, chunk in first_pass.chunks():
        here = indices[(indices >= start) & (indices < start + len(chunk))]
        if len(here):
            error = (chunk[here - start].astype(np.float64) - exact.rows(here)) @ texts.T
            spread = np.ptp(error, axis=1)
            largest = max(largest, float(spread[np.isfinite(spread)].max(initial=0.0)))
    return largest
