"""A fast first pass in half precision, then finer ones for just the images that it leaves in doubt.

An image is in doubt where two neighbours among the k most similar wrong labels lie within the margin.  The
margin of a pass is four times the largest error of a difference of two similarities, against the next finer pass,
over a sample that both compute, plus the margin of that finer pass; another sample audits it.  Samples are embedded
from the pixels that the first pass has read.  On a GPU the finer passes are float32 with split products, several
times faster than float32 and nearly as exact, and then float32 itself; elsewhere float32 alone.  The figures of each
pass stand in the header.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fgvr_bench.core.locks import lock
from fgvr_bench.miners.embeddings import Embeddings, store_path
from fgvr_bench.miners.reading import ImageBatch
from fgvr_bench.miners.rows import Truths, similarities
from fgvr_bench.miners.rule import choose, gaps
from fgvr_bench.miners.sharing import embedded
from fgvr_bench.types import Example, Json

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from fgvr_bench.interfaces import Dataset, MiningSettings
    from fgvr_bench.miners.encoder import Begun, Encoder

SAMPLES = ((2000, 1000), (256, 128))
"""Images that calibrate and that audit the margin of the first pass, and of each later one: a later pass is so near
to float32, and float32 so slow, that a smaller sample of the same images serves."""
SAFETY = 4.0


class FinerRows:
    """Embeddings of some examples by a finer pass, kept in a file of (position, row) records that grows."""

    def __init__(self, path: Path, dimensions: int) -> None:
        import numpy as np

        self._path, self._dimensions = path, dimensions
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

        with lock(self._path.with_suffix(".rows.lock"), f"embedding images again in {encoder.dtype}"):
            self._refresh()
            missing = sorted({index for index in wanted if index not in self})
            if not missing:
                return
            for batch in embedded(examples, missing, encoder, settings, self._dimensions):
                good = [place for place, index in enumerate(batch.indices) if index not in batch.unreadable]
                self._append([batch.indices[place] for place in good], batch.rows[good])
            self._refresh()

    def put(self, indices: Sequence[int], rows: NDArray[np.float32]) -> None:
        """Add rows that are computed."""
        with lock(self._path.with_suffix(".rows.lock"), "noting embeddings"):
            self._append(indices, rows)
            self._refresh()

    def _append(self, indices: Sequence[int], rows: NDArray[np.float32]) -> None:
        import numpy as np

        records = np.empty(len(indices), self._dtype)
        records["index"], records["row"] = indices, rows
        self._records = None  # not mapped while the file grows
        with self._path.open("ab") as file:
            file.truncate(file.tell() // self._dtype.itemsize * self._dtype.itemsize)
            file.write(records.tobytes())


class Rows(Protocol):
    """Where embeddings by position go."""

    def __contains__(self, index: int) -> bool:
        """Say whether a position is there."""

    def put(self, indices: Sequence[int], rows: NDArray[np.float32]) -> None:
        """Add rows that are computed."""


class SampledBeside:
    """Embeds the samples by the finer passes while the first one has their pixels."""

    SIZE = 256
    """Images that are embedded together: few enough to keep their pixels."""

    def __init__(self, finer: Sequence[tuple[Encoder, Rows]], count: int) -> None:
        self._wanted: list[tuple[Encoder, Rows, set[int]]] = []
        calibration, audit = _samples(count, {})
        for (encoder, rows), (most, most_audited) in zip(finer, _sizes(len(finer)), strict=True):
            wanted = {*calibration[:most], *audit[:most_audited]}
            self._wanted.append((encoder, rows, {index for index in wanted if index not in rows}))
        self._waiting: dict[int, torch.Tensor] = {}
        self._begun: list[tuple[Rows, list[int], Begun]] = []

    def see(self, batch: ImageBatch) -> None:
        """Keep the pixels that a sample wants; embed a full batch of them."""
        if batch.pixels is not None:
            for place, index in enumerate(batch.readable):
                if any(index in wanted for _, _, wanted in self._wanted):
                    self._waiting[index] = batch.pixels[place].clone()
        if len(self._waiting) >= self.SIZE:
            self._begin()

    def finish(self) -> None:
        """Embed what waits."""
        self._begin()
        self._take_in()

    def _begin(self) -> None:
        """Give what waits to the device, and do not wait for it: a batch of the first pass follows at once."""
        import torch

        self._take_in()
        for encoder, rows, wanted in self._wanted:
            if here := [index for index in self._waiting if index in wanted]:
                pixels = torch.stack([self._waiting[index] for index in here])
                self._begun.append((rows, here, encoder.begin(pixels)))
        self._waiting.clear()

    def _take_in(self) -> None:
        for rows, here, begun in self._begun:
            rows.put(here, begun.rows())
        self._begun.clear()

    @property
    def dtypes(self) -> list[str]:
        """The precisions of the finer passes."""
        return [encoder.dtype for encoder, _, _ in self._wanted]

    def take(self, dtype: str, indices: Sequence[int], rows: NDArray[np.float32]) -> None:
        """Take in samples that another rank has embedded."""
        for encoder, own, wanted in self._wanted:
            if encoder.dtype == dtype:
                new = [place for place, index in enumerate(indices) if index in wanted]
                own.put([indices[place] for place in new], rows[new])


@dataclass(frozen=True, slots=True)
class FinerPass:
    """An encoder and the rows that it has computed."""

    encoder: Encoder
    rows: FinerRows


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A finer pass, and how far the pass before it is from it."""

    rows: FinerRows
    error: float
    """Largest error of a difference of two similarities by the pass before, over both samples."""
    note: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The outcome of a recheck."""

    passes: Sequence[FinerRows] = ()
    found: dict[str, Json] = field(default_factory=dict)
    """Margins, samples and counts, for the header."""

    def replace(self, start: int, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a chunk of the first pass with finer rows in their places, the finest there are."""
        import numpy as np

        mixed = np.array(rows)
        for finer in self.passes:
            first, last = finer.indices.searchsorted([start, start + len(rows)])
            there = finer.indices[first:last]
            if len(there):
                mixed[there - start] = finer.rows(there)
        return mixed


def finer_passes(
    dataset: Dataset,
    examples: Sequence[Example],
    encoders: Sequence[Encoder],
    dimensions: int,
    settings: MiningSettings,
) -> list[FinerPass]:
    """Return the passes of encoders in rising precision, with what they have computed before."""
    return [
        FinerPass(each, FinerRows(store_path(dataset, examples, each, settings).with_suffix(".rows"), dimensions))
        for each in encoders
    ]


def recheck(
    dataset: Dataset,
    examples: Sequence[Example],
    first_pass: Embeddings,
    finer: Sequence[FinerPass],
    texts: NDArray[np.float64],
    settings: MiningSettings,
) -> Rechecked:
    """Embed again every image whose options a pass leaves in doubt, by the next finer one.

    Args:
        dataset: where the examples are from.
        examples: those of the first pass.
        first_pass: embeddings in half precision.
        finer: passes in rising precision; the last is the exact one.
        texts: embeddings of the labels.
        settings: k, batch size and workers.
    """
    truths = Truths(dataset.labels())
    passes = _calibrate(examples, first_pass, finer, texts, settings)
    margin = 0.0
    margins = [margin := margin + SAFETY * each.error for each in reversed(passes)][::-1]
    done = Rechecked()
    for finer_pass, each, widest in zip(finer, passes, margins, strict=True):
        doubtful = _in_doubt(done, first_pass, examples, truths, texts, settings.k, widest)
        each.rows.add(doubtful, examples, finer_pass.encoder, settings)
        each.note.update(margin=widest, in_doubt=len(doubtful))
        done = Rechecked([*done.passes, each.rows])
    different = _audit(done, first_pass, examples, truths, texts, settings.k, margins[0])
    found: dict[str, Json] = {
        **passes[0].note,
        "audit_sets_different": different,
        "similarities": "of images that were not in doubt: those of the first pass",
        "finer_passes": [dict(each.note) for each in passes[1:]],
    }
    return Rechecked(done.passes, {"fast_pass": found})


def _calibrate(
    examples: Sequence[Example],
    first_pass: Embeddings,
    finer: Sequence[FinerPass],
    texts: NDArray[np.float64],
    settings: MiningSettings,
) -> list[Calibrated]:
    """Measure, on samples, how far each pass is from the next finer one."""
    passes: list[Calibrated] = []
    calibration, audit = _samples(first_pass.count, first_pass.unreadable)
    for finer_pass, (most, most_audited) in zip(finer, _sizes(len(finer)), strict=True):
        encoder, rows = finer_pass.encoder, finer_pass.rows
        calibration, audit = calibration[:most], audit[:most_audited]
        rows.add([*calibration, *audit], examples, encoder, settings)
        before = Rechecked([each.rows for each in passes])
        error = _largest_error(before, first_pass, rows, calibration, texts)
        audit_error = _largest_error(before, first_pass, rows, audit, texts)
        note: dict[str, Json] = {
            "against": encoder.dtype,
            "calibrated_on": len(calibration),
            "largest_error": error,
            "audited_on": len(audit),
            "audit_largest_error": audit_error,
        }
        # Where the audit finds an error beyond the margin, calibration missed something: then that sets the margin.
        passes.append(Calibrated(rows, audit_error if audit_error > SAFETY * error else error, note))
    return passes


def _in_doubt(
    done: Rechecked,
    first_pass: Embeddings,
    examples: Sequence[Example],
    truths: Truths,
    texts: NDArray[np.float64],
    k: int,
    margin: float,
) -> list[int]:
    """Return the positions of the readable images that the last pass of `done` computed and leaves in doubt."""
    import numpy as np

    doubtful: list[int] = []
    for start, chunk in first_pass.chunks():
        positions = np.arange(start, start + len(chunk))
        looked_at = np.array([index not in first_pass.unreadable for index in positions.tolist()])
        if done.passes:
            looked_at &= np.isin(positions, done.passes[-1].indices)
        if looked_at.any():
            scores = similarities(done.replace(start, chunk)[looked_at], texts)
            truth = truths.of(examples, start, start + len(chunk))[looked_at]
            unsure = ~(gaps(scores, truth, k) > margin)  # a NaN of the first pass is not sure
            doubtful.extend(positions[looked_at][unsure].tolist())
    return doubtful


def _audit(
    done: Rechecked,
    first_pass: Embeddings,
    examples: Sequence[Example],
    truths: Truths,
    texts: NDArray[np.float64],
    k: int,
    margin: float,
) -> int:
    """Count images of the audit sample that the first pass was sure of and that come out otherwise."""
    import numpy as np

    different = 0
    audited = np.array(_samples(first_pass.count, first_pass.unreadable)[1], np.int64)
    for start, chunk in first_pass.chunks():
        places = audited[(audited >= start) & (audited < start + len(chunk))] - start
        truth = truths.of(examples, start, start + len(chunk))[places]
        before, after = similarities(chunk[places], texts), similarities(done.replace(start, chunk)[places], texts)
        sure = gaps(before, truth, k) > margin
        chosen = [choose(each[sure], truth[sure], k).choices for each in (before, after)]
        different += int((chosen[0] != chosen[1]).any(axis=1).sum())
    return different


def _sizes(passes: int) -> list[tuple[int, int]]:
    """Return the sizes of the samples of each finer pass."""
    return [*SAMPLES[:1], *SAMPLES[1:] * (passes - 1)][:passes]


def _samples(count: int, unreadable: Mapping[int, str]) -> tuple[list[int], list[int]]:
    """Return positions for calibration and for the audit, disjoint, the same each time, in random order."""
    readable = count - len(unreadable)
    calibrated, audited = SAMPLES[0]
    split = min(calibrated, -(-readable // 5))
    wanted = split + min(audited, readable // 10)
    drawn: dict[int, None] = {}
    generator = random.Random(0)  # noqa: S311 - no secret
    while len(drawn) < wanted:
        index = int(generator.random() * count)
        if index not in unreadable:
            drawn[index] = None
    indices = list(drawn)
    return indices[:split], indices[split:]


def _largest_error(
    before: Rechecked, first_pass: Embeddings, finer: FinerRows, sample: list[int], texts: NDArray[np.float64]
) -> float:
    """Return the largest error of a difference of two similarities of one image, over a sample."""
    import numpy as np

    largest = 0.0
    indices = np.array(sorted(sample), np.int64)
    for start, chunk in first_pass.chunks():
        here = indices[(indices >= start) & (indices < start + len(chunk))]
        if len(here):
            coarse = before.replace(start, chunk)[here - start].astype(np.float64)
            spread = np.ptp((coarse - finer.rows(here)) @ texts.T, axis=1)
            largest = max(largest, float(spread[np.isfinite(spread)].max(initial=0.0)))
    return largest
