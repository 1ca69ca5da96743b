"""Many runs on the same questions at once: who is significantly better than whom.

The formulae are those of `core/statistics.py`.  A run is its number of right answers in each class, a row of a matrix;
the signed sums of all runs under a thousand sign patterns are one product of matrices, and the difference of two runs
under a pattern is the difference of their sums.  Pairs are gone through a run at a time, so that what is held grows
with the runs, and with their pairs by one number each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgvr_bench.core.statistics import (
    ALPHA,
    AT_ONCE,
    MOST_FLIPPED,
    ROUNDS,
    SEED,
    TAIL,
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

FAR = 30.0
"""A pair whose normal p-value is this many times the level at which Holm's rule stops is not looked at."""
PAIRS_AT_ONCE = 500
VERSION = 3
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
    """Finds the p-value of every pair of runs, as far as it matters."""

    def __init__(self, columns: Sequence[Tallies], seed: int) -> None:
        import numpy as np

        self.seed = seed
        whole = len(columns) == 1
        weights = [np.full(len(each.sizes), 1.0 if whole else 1 / each.sizes.sum()) for each in columns]
        self.parts = np.concatenate([each.counts for each in columns], axis=1) * np.concatenate(weights)
        self.countable = whole or self.parts.shape[1] <= MOST_FLIPPED
        """Whether all sign patterns can be counted out: of whole numbers, and of few classes."""
        self.totals = self.parts.sum(axis=1)
        self.runs = len(self.parts)

    def values(self) -> Numbers:
        """Return them, in the order of `_rows`; 1 where a pair is too far from significance to be looked at.

        A normal tail says first about where Holm's rule will stop.  Pairs well on the near side of that keep an upper
        bound of their p-value, pairs well beyond it keep 1, and those between are tested.  Both can only make a
        verdict of significance rarer.
        """
        import numpy as np

        normal = self._normal()
        p = np.minimum(1.0, TAIL * normal)
        if not len(p):
            return p
        stop = _stops_at(normal)
        p[normal > FAR * stop] = 1
        shown = 0.0 if self.countable else 1 / (ROUNDS + 1)
        left = np.flatnonzero((p >= max(ALPHA / len(p), shown)) & (normal <= FAR * stop))
        if stop >= shown and len(left):
            p[left] = self._counted(left) if self.countable else self._drawn(left)
        return p

    def _normal(self) -> Numbers:
        """Return the p-values that normal tails would give."""
        import numpy as np
        from scipy.special import erfc

        norms = (self.parts**2).sum(axis=1)
        found = np.ones(self.runs * (self.runs - 1) // 2)
        for one, others, pairs in _rows(self.runs):
            difference = np.abs(self.totals[others] - self.totals[one])
            length = np.maximum(norms[one] + norms[others] - 2 * (self.parts[others] @ self.parts[one]), 1e-300)
            found[pairs] = np.where(difference > 1e-12, erfc(difference / np.sqrt(2 * length)), 1.0)
        return found

    def _counted(self, pairs: Places) -> Numbers:
        """Return exact p-values."""
        import numpy as np

        one, other = self._ends(pairs)
        ends = zip(one, other, strict=True)
        return np.array([p_of_sums(self.parts[each] - self.parts[another], self.seed) for each, another in ends])

    def _drawn(self, pairs: Places) -> Numbers:
        """Return p-values from drawn patterns, those that `p_of_sums` draws."""
        import numpy as np

        one, other = self._ends(pairs)
        found = np.abs(self.totals[one] - self.totals[other]) * (1 - 1e-9)
        outdone = np.zeros(len(pairs), np.int64)
        for stream in range(ROUNDS // AT_ONCE):
            sums = np.ascontiguousarray(self.parts @ signs(self.seed, AT_ONCE, self.parts.shape[1], stream).T)
            for start in range(0, len(pairs), PAIRS_AT_ONCE):
                own = slice(start, start + PAIRS_AT_ONCE)
                outdone[own] += (np.abs(sums[one[own]] - sums[other[own]]) >= found[own, None]).sum(axis=1)
        p: Numbers = (1 + outdone) / (1 + ROUNDS)
        return p

    def _ends(self, pairs: Places) -> tuple[Places, Places]:
        """Return the two runs of each pair."""
        import numpy as np

        starts = np.array([rows.start for _, _, rows in _rows(self.runs)])
        one = np.searchsorted(starts, pairs, side="right") - 1
        return one, pairs - starts[one] + one + 1


def _stops_at(p: Numbers) -> float:
    """Return the level that the first pair which Holm's rule does not reject was held against."""
    import numpy as np

    levels = ALPHA / (len(p) - np.arange(len(p)))
    kept = np.flatnonzero(np.sort(p) >= levels)
    return float(levels[kept[0]]) if len(kept) else ALPHA


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
