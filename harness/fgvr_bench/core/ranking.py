"""Many runs on the same questions at once: who is significantly better than whom.

The formulae are those of `core/statistics.py`.  A run is its number of right answers in each class, a row of a matrix;
the signed sums of runs under many sign patterns are one product of matrices, and the difference of two runs under a
pattern is the difference of their sums.  Pairs are gone through block by block, several times over rather than once
with all of them in memory: what is held grows with the runs and with the pairs near a verdict, not with all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

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
BLOCK = 128
"""Runs that are held against as many others at once."""
SIGNS_AT_ONCE = 50
PAIRS_AT_ONCE = 2000
MOST_PAIRS = 20_000
"""Of more pairs, the median is taken of every second, third, ... one."""
BINS_BELOW = 46
"""Bits of a double that do not tell its bin: bins of p-values have 64 to a factor of two."""
VERSION = 4
"""Of this way of ranking; part of the key that rankings are kept under."""


@dataclass(frozen=True, slots=True)
class Tallies:
    """Some runs' right answers in one column, by class."""

    counts: NDArray[Any]
    """Right answers, shape (runs, classes), in the smallest type of whole numbers that holds them."""
    sizes: Numbers
    """Questions, shape (classes,)."""
    bits: tuple[bytes, ...]
    """Of each run's answers, packed; likewise filled up."""

    def of(self, runs: Sequence[int]) -> Tallies:
        """Return those of some of the runs."""
        return Tallies(self.counts[list(runs)], self.sizes, tuple(self.bits[run] for run in runs))

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

    sizes = np.bincount(clusters)
    counts = np.empty((len(bits), len(sizes)), np.min_scalar_type(int(sizes.max())))
    for place, packed in enumerate(bits):
        correct = np.unpackbits(np.frombuffer(packed, np.uint8), count=len(clusters))
        counts[place] = np.bincount(clusters, correct, minlength=len(sizes))
    return Tallies(counts, sizes.astype(np.float64), tuple(bits))


def rank(columns: Sequence[Tallies], seed: int = SEED) -> Ranking:
    """Rank runs by their accuracy in one column, or by the mean of their accuracies in several.

    A pair's p-value is that of the sign-flip test, corrected by Holm's rule for the number of all pairs.

    Args:
        columns: the same runs, in the same order, in each.
        seed: of the sign patterns that are drawn, `ROUNDS` of them.
    """
    import numpy as np

    runs = len(columns[0].counts)
    figures = np.sum([each.counts.sum(axis=1, dtype=np.int64) / each.sizes.sum() for each in columns], axis=0)
    ranks = np.ones(runs, np.int64)
    best = np.flatnonzero(figures > figures.max() - 1e-12)
    level = np.ones(runs, bool)
    pairs = _Pairs(columns, seed)
    kept, _ = first_kept(pairs.values, pairs.count)
    for one, other, p in pairs:
        told = (p < kept) & (figures[one] != figures[other])
        ahead = figures[one[told]] > figures[other[told]]
        winners, losers = np.where(ahead, (one[told], other[told]), (other[told], one[told]))
        ranks += np.bincount(losers, minlength=runs)
        level[losers[np.isin(winners, best)]] = False
    return Ranking(tuple(ranks.tolist()), tuple(level.tolist()), tuple(best.tolist()), _detectable(columns))


def blocks(runs: int) -> Iterator[tuple[Places, Places]]:
    """Yield all pairs of runs, the first one's number below the second's, up to `BLOCK` squared at once."""
    import numpy as np

    for first in runs_of(runs):
        for last in runs_of(runs, int(first[0])):
            one, other = np.meshgrid(first, last, indexing="ij")
            below = one < other
            if below.any():
                yield one[below], other[below]


def runs_of(count: int, start: int = 0) -> Iterator[Places]:
    """Yield the numbers from `start` to `count`, up to `BLOCK` at once."""
    import numpy as np

    for begin in range(start, count, BLOCK):
        yield np.arange(begin, min(begin + BLOCK, count))


def first_kept(values: Callable[[], Iterator[Numbers]], count: int) -> tuple[float, float]:
    """Return the smallest p-value that Holm's rule does not reject, and the level that it was held against.

    What is smaller is rejected, all else is not.  Where all are rejected: infinity, and `ALPHA`.

    Args:
        values: gives all p-values, in pieces; called several times.
        count: how many they are.
    """
    import numpy as np

    top = int(np.float64(1.0).view(np.int64)) >> BINS_BELOW
    in_bin = np.zeros(top + 1, np.int64)
    for piece in values():
        in_bin += np.bincount(piece.view(np.int64) >> BINS_BELOW, minlength=top + 1)
    smaller = 0
    for number in np.flatnonzero(in_bin).tolist():
        end = float(np.int64((number + 1) << BINS_BELOW).view(np.float64))
        if end * (count - smaller) >= ALPHA:
            inside = [piece[(piece.view(np.int64) >> BINS_BELOW) == number] for piece in values()]
            members = np.sort(np.concatenate(inside))
            levels = ALPHA / (count - smaller - np.arange(len(members)))
            kept = np.flatnonzero(members >= levels)
            if len(kept):
                return float(members[kept[0]]), float(levels[kept[0]])
        smaller += int(in_bin[number])
    return inf, ALPHA


class _Pairs:
    """Finds the p-value of every pair of runs, as far as it matters; iterates over pairs and p-values, block by block.

    A normal tail says first about where Holm's rule will stop.  Pairs well on the near side of that keep an upper bound
    of their p-value, pairs well beyond it get 1, and those between are tested.  Both can only make a verdict of
    significance rarer.
    """

    def __init__(self, columns: Sequence[Tallies], seed: int) -> None:
        import numpy as np

        self.seed, self.columns = seed, columns
        self.runs = len(columns[0].counts)
        self.count = self.runs * (self.runs - 1) // 2
        whole = len(columns) == 1
        self.weights = [1.0 if whole else 1 / each.sizes.sum() for each in columns]
        self.classes = sum(len(each.sizes) for each in columns)
        self.countable = whole or self.classes <= MOST_FLIPPED
        """Whether all sign patterns can be counted out: of whole numbers, and of few classes."""
        self.totals, self.norms = np.empty(self.runs), np.empty(self.runs)
        for runs in runs_of(self.runs):
            parts = self._parts(runs)
            self.totals[runs], self.norms[runs] = parts.sum(axis=1), (parts**2).sum(axis=1)
        _, self.stop = first_kept(lambda: (normal for _, _, normal in self._normal()), self.count)
        self.tested: Numbers = np.empty(0)
        self.tested = self._test()

    def __iter__(self) -> Iterator[tuple[Places, Places, Numbers]]:
        start = 0
        for one, other, normal in self._normal():
            p, near = self._bounds(normal)
            end = start + int(near.sum())
            if len(self.tested):
                p[near] = self.tested[start:end]
            start = end
            yield one, other, p

    def values(self) -> Iterator[Numbers]:
        """Yield p-values alone."""
        for _, _, p in self:
            yield p

    def _parts(self, runs: Places) -> Numbers:
        """Return what each class adds to the figures of some runs, shape (runs, classes)."""
        import numpy as np

        weighted = zip(self.columns, self.weights, strict=True)
        return np.concatenate([each.counts[runs] * weight for each, weight in weighted], axis=1, dtype=np.float64)

    def _normal(self) -> Iterator[tuple[Places, Places, Numbers]]:
        """Yield pairs with the p-values that normal tails would give."""
        import numpy as np
        from scipy.special import erfc

        for one, other in blocks(self.runs):
            first, last = np.unique(one), np.unique(other)
            inner = (self._parts(first) @ self._parts(last).T)[one - first[0], other - last[0]]
            difference = np.abs(self.totals[other] - self.totals[one])
            length = np.maximum(self.norms[one] + self.norms[other] - 2 * inner, 1e-300)
            yield one, other, np.where(difference > 1e-12, erfc(difference / np.sqrt(2 * length)), 1.0)

    def _bounds(self, normal: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
        """Return upper bounds of p-values, and which pairs are to be tested."""
        import numpy as np

        p = np.minimum(1.0, TAIL * normal)
        far = normal > FAR * self.stop
        p[far] = 1
        shown = 0.0 if self.countable else 1 / (ROUNDS + 1)
        near = ~far & (p >= max(ALPHA / self.count, shown)) if self.stop >= shown else np.zeros(len(p), bool)
        return p, near

    def _test(self) -> Numbers:
        """Return the p-values of the pairs that are to be tested, in their order."""
        import numpy as np

        found = [
            (one[near], other[near]) for one, other, normal in self._normal() if (near := self._bounds(normal)[1]).any()
        ]
        if not found:
            return np.empty(0)
        one, other = (np.concatenate([each[side] for each in found]) for side in (0, 1))
        return self._counted(one, other) if self.countable else self._drawn(one, other)

    def _counted(self, one: Places, other: Places) -> Numbers:
        """Return exact p-values."""
        import numpy as np

        ends = zip(one.tolist(), other.tolist(), strict=True)
        return np.array([p_of_sums(np.subtract(*self._parts(np.array(pair))), self.seed) for pair in ends])

    def _drawn(self, one: Places, other: Places) -> Numbers:
        """Return p-values from drawn patterns, those that `p_of_sums` draws."""
        import numpy as np

        found = np.abs(self.totals[one] - self.totals[other]) * (1 - 1e-9)
        outdone = np.zeros(len(one), np.int64)
        sums = np.empty((self.runs, SIGNS_AT_ONCE))
        for stream in range(ROUNDS // AT_ONCE):
            drawn = signs(self.seed, AT_ONCE, self.classes, stream)
            for first in range(0, AT_ONCE, SIGNS_AT_ONCE):
                own = drawn[first : first + SIGNS_AT_ONCE].T
                for runs in runs_of(self.runs):
                    sums[runs] = self._parts(runs) @ own
                for start in range(0, len(one), PAIRS_AT_ONCE):
                    part = slice(start, start + PAIRS_AT_ONCE)
                    reached = np.abs(sums[one[part]] - sums[other[part]]) >= found[part, None]
                    outdone[part] += reached.sum(axis=1)
        p: Numbers = (1 + outdone) / (1 + ROUNDS)
        return p


def _detectable(columns: Sequence[Tallies]) -> float | None:
    """Return the detectable difference of the pair whose variance is the (upper) median, at Holm's first step."""
    import numpy as np

    runs = len(columns[0].counts)
    pairs = runs * (runs - 1) // 2
    if not pairs:
        return None
    every, passed = -(-pairs // MOST_PAIRS), 0
    taken: list[tuple[Places, Places, Numbers]] = []
    for one, other in blocks(runs):
        own = slice(-passed % every, None, every)
        passed += len(one)
        one, other = one[own], other[own]
        variances = np.zeros(len(one))
        for column in columns:
            first, last = np.unique(one), np.unique(other)
            here, there = _residuals(column, first), _residuals(column, last)
            places = np.searchsorted(first, one), np.searchsorted(last, other)
            variances += np.array([((here[a] - there[b]) ** 2).sum() for a, b in zip(*places, strict=True)])
        taken.append((one, other, variances.round(15)))  # so that the median pair is the same one on every machine
    variances = np.concatenate([each for _, _, each in taken])
    place = int(np.flatnonzero(variances == np.partition(variances, len(variances) // 2)[len(variances) // 2])[0])
    pair = [int(np.concatenate([each[side] for each in taken])[place]) for side in (0, 1)]
    return detectable_difference(mean_of_spreads([_spread(each, pair) for each in columns]), ALPHA / pairs)


def _residuals(column: Tallies, runs: Places) -> Numbers:
    """Return residuals whose squared differences add up to the clustered variance of two runs' difference."""
    import numpy as np

    counts, count = column.counts[runs].astype(np.float64), column.sizes.sum()
    if len(column.sizes) < 2:
        return np.zeros_like(counts)
    residuals = counts - (counts.sum(axis=1) / count)[:, None] * column.sizes
    scaled: Numbers = residuals / np.sqrt(1 - column.sizes / count) / count
    return scaled


def _spread(column: Tallies, pair: Sequence[int]) -> Spread:
    import numpy as np

    one, other = pair
    scaled = _residuals(column, np.array(pair))
    count = int(column.sizes.sum())
    mean = float(column.counts[one].sum(dtype=np.int64) - column.counts[other].sum(dtype=np.int64)) / count
    spread = Spread(mean, float(((scaled[1] - scaled[0]) ** 2).sum()), degrees_of_freedom(column.sizes), count)
    return with_least_variance(spread, column.differing(one, other))
