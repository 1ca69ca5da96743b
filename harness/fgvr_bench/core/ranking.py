"""Many runs on the same questions at once: who is significantly better than whom.

The formulae are those of `core/statistics.py`.  A run is its number of right answers in each class, a row of a matrix;
the signed sums of all runs under a thousand sign patterns are one product of matrices, and the difference of two runs
under a pattern is the difference of their sums.  Pairs are gone through a run at a time, so that what is held grows
with the runs, and with their pairs by one number each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

from fgvr_bench.core.statistics import (
    ALPHA,
    AT_ONCE,
    MOST_FLIPPED,
    ROUNDS,
    SEED,
    Spread,
    degrees_of_freedom,
    detectable_difference,
    mean_of_spreads,
    p_of_sums,
    signs,
    with_least_variance,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Places = NDArray[np.int64]

STREAMS = ROUNDS // AT_ONCE
"""Streams of sign patterns; every pair is held against the first."""
CLEARLY_LUCK = 0.1
"""A pair that more of the first stream's patterns outdo than this share is no difference, and is asked no further."""
MOST_COUNTED = 300
"""So many pairs are counted out; of more than that, only those that drawn patterns hardly ever outdo."""
SCARCELY = 5
"""Patterns of all that are drawn: a pair that is outdone by fewer is counted out, where that can be done."""
PAIRS_AT_ONCE = 500
VERSION = 2
"""Of this way of ranking; part of the key that rankings are kept under."""


@dataclass(frozen=True, slots=True)
class Tallies:
    """Some runs' right answers in one column, by class."""

    counts: Numbers
    """Right answers, shape (runs, classes)."""
    sizes: Numbers
    """Questions, shape (classes,)."""
    bits: tuple[bytes, ...]
    """Of each run's answers, packed; likewise filled up."""

    def differing(self, one: int, other: int) -> int:
        """Return how many questions only one of two runs answers rightly."""
        return (int.from_bytes(self.bits[one]) ^ int.from_bytes(self.bits[other])).bit_count()


@dataclass(frozen=True, slots=True)
class Ranking:
    """The verdict on some runs, in their order."""

    ranks: tuple[int, ...]
    """1 + the number of runs that are significantly better."""
    level: tuple[bool, ...]
    """Whether a run is not significantly worse than those with the highest figure."""
    best: tuple[int, ...]
    """Places of the highest figure."""
    detectable: float | None
    """The smallest difference that two of them, as alike as the median pair, had been told apart at."""


def tally(bits: Sequence[bytes], clusters: NDArray[np.int32]) -> Tallies:
    """Count right answers by class.

    Args:
        bits: a bit an answer of each run, as `numpy.packbits` packs them.
        clusters: number of each question's class, counted from 0.
    """
    import numpy as np

    classes = int(clusters.max()) + 1
    counts = np.empty((len(bits), classes))
    for place, packed in enumerate(bits):
        correct = np.unpackbits(np.frombuffer(packed, np.uint8), count=len(clusters))
        counts[place] = np.bincount(clusters, correct, minlength=classes)
    return Tallies(counts, np.bincount(clusters, minlength=classes).astype(np.float64), tuple(bits))


def rank(columns: Sequence[Tallies], seed: int = SEED) -> Ranking:
    """Rank runs by their accuracy in one column, or by the mean of their accuracies in several.

    A pair's p-value is that of the sign-flip test, corrected by Holm's rule for the number of all pairs.

    Args:
        columns: the same runs, in the same order, in each.
        seed: of the sign patterns that are drawn, `ROUNDS` of them.
    """
    import numpy as np

    runs = len(columns[0].counts)
    figures = np.sum([each.counts.sum(axis=1) / each.sizes.sum() for each in columns], axis=0)
    significant = _holm(_Pairs(columns, seed).values()) < ALPHA
    ranks = np.ones(runs, np.int64)
    best = np.flatnonzero(figures > figures.max() - 1e-12)
    level = np.ones(runs, bool)
    for one, others, pairs in _rows(runs):
        ahead, behind = figures[one] > figures[others], figures[one] < figures[others]
        ranks[others] += np.logical_and(significant[pairs], ahead)
        ranks[one] += int(np.logical_and(significant[pairs], behind).sum())
        if one in best:
            level[others] &= ~np.logical_and(significant[pairs], ahead)
        beaten = np.logical_and(significant[pairs], behind)
        level[one] &= not np.isin(others[beaten], best).any()
    return Ranking(tuple(ranks.tolist()), tuple(level.tolist()), tuple(best.tolist()), _detectable(columns))


def _rows(runs: int) -> Iterator[tuple[int, Places, slice]]:
    """Yield for each run the runs after it, and where their pairs stand among all."""
    import numpy as np

    start = 0
    for one in range(runs - 1):
        count = runs - 1 - one
        yield one, np.arange(one + 1, runs), slice(start, start + count)
        start += count


class _Pairs:
    """Finds the p-value of every pair of runs."""

    def __init__(self, columns: Sequence[Tallies], seed: int) -> None:
        import numpy as np

        self.seed = seed
        self.whole = len(columns) == 1
        """Whether differences are whole numbers, whose distribution can be counted out."""
        weights = [np.full(len(each.sizes), 1.0 if self.whole else 1 / each.sizes.sum()) for each in columns]
        self.parts = np.concatenate([each.counts for each in columns], axis=1) * np.concatenate(weights)
        self.totals = self.parts.sum(axis=1)
        self.runs = len(self.parts)
        self.pairs = self.runs * (self.runs - 1) // 2

    def values(self) -> Numbers:
        """Return them, in the order of `_rows`.

        Most pairs are settled by two bounds: with ``z = found / sqrt(sum c^2)``, p is at most ``2 exp(-z^2 / 2)``
        (Hoeffding), and at least 3/16 where z is at most 1 (Dvorak & Klein 2022, SIAM Journal on Discrete Mathematics
        36, 2393-2410).  The others are held against drawn patterns, and counted out where that is needed.
        """
        import numpy as np

        p = np.ones(self.pairs)
        left = self._bounded(p)
        left, outdone = self._screened(p, left)
        countable = self.whole or self.parts.shape[1] <= MOST_FLIPPED
        if not countable or len(left[0]) > MOST_COUNTED:
            for stream in range(1, STREAMS):
                outdone += self._outdone(stream, *left[1:])
            p[left[0]] = (1 + outdone) / (1 + STREAMS * AT_ONCE)
            kept = outdone < SCARCELY if countable else np.zeros(len(outdone), bool)
            left = left[0][kept], left[1][kept], left[2][kept]
        for pair, one, other in zip(*left, strict=True):
            p[pair] = p_of_sums(self.parts[one] - self.parts[other], self.seed)
        return p

    def _bounded(self, p: Numbers) -> tuple[Places, Places, Places]:
        """Settle what bounds settle; return number, one run and other run of the pairs that are left."""
        import numpy as np

        least = 1 / (ROUNDS + 1)  # whole numbers can be counted out below what rounds can show
        enough = 2 * log(2 / min(least, ALPHA / self.pairs if self.whole and self.pairs else least)) * (1 + 1e-9)
        norms = (self.parts**2).sum(axis=1)
        found: list[tuple[Places, Places, Places]] = []
        for one, others, pairs in _rows(self.runs):
            square = (self.totals[others] - self.totals[one]) ** 2
            length = norms[one] + norms[others] - 2 * (self.parts[others] @ self.parts[one])
            clear = square > enough * length
            bound = np.exp(-square[clear] / (2 * np.maximum(length[clear], 1e-300)))
            p[pairs][clear] = np.minimum(1.0, 2 * bound)
            open_ = np.flatnonzero(~clear & (square > length * (1 + 1e-9)))
            found.append((pairs.start + open_, np.full(len(open_), one), others[open_]))
        number, one_, other = zip(*found, strict=True) if found else ((), (), ())
        empty = np.zeros(0, np.int64)
        return np.concatenate([empty, *number]), np.concatenate([empty, *one_]), np.concatenate([empty, *other])

    def _screened(
        self, p: Numbers, left: tuple[Places, Places, Places]
    ) -> tuple[tuple[Places, Places, Places], Places]:
        """Hold pairs against the first stream; return those that may be more than luck, and how often outdone."""
        number, one, other = left
        outdone = self._outdone(0, one, other)
        p[number] = (1 + outdone) / (1 + AT_ONCE)
        kept = outdone <= CLEARLY_LUCK * AT_ONCE
        return (number[kept], one[kept], other[kept]), outdone[kept]

    def _outdone(self, stream: int, one: Places, other: Places) -> Places:
        """Return how many patterns of a stream give at least the difference found, for each pair."""
        import numpy as np

        sums = np.ascontiguousarray(self.parts @ signs(self.seed, AT_ONCE, self.parts.shape[1], stream).T)
        counts = np.zeros(len(one), np.int64)
        for start in range(0, len(one), PAIRS_AT_ONCE):
            own = slice(start, start + PAIRS_AT_ONCE)
            found = np.abs(self.totals[one[own]] - self.totals[other[own]]) * (1 - 1e-9)
            difference = sums[one[own]]
            difference -= sums[other[own]]
            counts[own] = (np.abs(difference, out=difference) >= found[:, None]).sum(axis=1)
        return counts


def _holm(p: Numbers) -> Numbers:
    """Return what `statistics.holm` does, for many."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(stepped) if len(p) else stepped
    return corrected


def _detectable(columns: Sequence[Tallies]) -> float | None:
    """Return the detectable difference of the pair whose variance is the (upper) median, at Holm's first step."""
    import numpy as np

    runs = len(columns[0].counts)
    pairs = runs * (runs - 1) // 2
    if not pairs:
        return None
    variances = np.zeros(pairs)
    for column in columns:
        scaled = _residuals(column)
        for one, others, own in _rows(runs):
            variances[own] += ((scaled[others] - scaled[one]) ** 2).sum(axis=1)
    variances = variances.round(15)  # so that the median pair is the same one on every machine
    median = np.partition(variances, pairs // 2)[pairs // 2]
    place = int(np.flatnonzero(variances == median)[0])
    one = next(one for one, _, own in _rows(runs) if own.stop > place)
    other = place - next(own.start for row, _, own in _rows(runs) if row == one) + one + 1
    return detectable_difference(mean_of_spreads([_spread(each, one, other) for each in columns]), ALPHA / pairs)


def _residuals(column: Tallies) -> Numbers:
    """Return residuals whose squared differences add up to the clustered variance of two runs' difference."""
    import numpy as np

    count = column.sizes.sum()
    if len(column.sizes) < 2:
        return np.zeros_like(column.counts)
    residuals = column.counts - (column.counts.sum(axis=1) / count)[:, None] * column.sizes
    scaled: Numbers = residuals / np.sqrt(1 - column.sizes / count) / count
    return scaled


def _spread(column: Tallies, one: int, other: int) -> Spread:
    scaled = _residuals(Tallies(column.counts[[one, other]], column.sizes, ()))
    count = int(column.sizes.sum())
    mean = float((column.counts[one] - column.counts[other]).sum()) / count
    spread = Spread(mean, float(((scaled[1] - scaled[0]) ** 2).sum()), degrees_of_freedom(column.sizes), count)
    return with_least_variance(spread, column.differing(one, other))
