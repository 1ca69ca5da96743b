"""Many runs on the same questions at once: who is significantly better than whom.

The formulae are those of `core/statistics.py`.  A run is its number of right answers in each class, a row of a matrix;
the signed sums of runs under many sign patterns are one product of matrices, and the difference of two runs under a
pattern is the difference of their sums.  Pairs are gone through block by block, several times over rather than once
with all of them in memory, and what was found of those near a verdict is kept on disk: what is held is a few numbers
a run.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import TYPE_CHECKING

from fgvr_bench.core.scratch import NumberRows
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
from fgvr_bench.core.tallies import Tallies, runs_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Places = NDArray[np.int64]

FAR = 30.0
"""A pair whose normal p-value is this many times the level at which Holm's rule stops is not looked at."""
SIGNS_AT_ONCE = 50
SUMS_AT_ONCE = 100_000
"""Numbers: with many runs, fewer signs are taken at once."""
PAIRS_AT_ONCE = 2000
PAIRS_HELD = 50_000
"""Pairs near a verdict that are in memory at once; likewise p-values close to where Holm's rule stops."""
MOST_PAIRS = 20_000
"""Of more pairs, the median is taken of every second, third, ... one."""
BINS_BELOW = 46
"""Bits of a double that do not tell its bin: bins of p-values have 64 to a factor of two."""
VERSION = 5
"""Of this way of ranking; part of the key that rankings are kept under."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The verdict on some runs, in their order."""

    ranks: NDArray[np.int32]
    """1 + the number of runs that are significantly better."""
    level: NDArray[np.bool_]
    """Whether a run is not significantly worse than those with the highest figure."""
    best: NDArray[np.bool_]
    """Whether a run has the highest figure."""
    detectable: float | None
    """The smallest difference that two of them, as alike as the median pair, had been told apart at."""

    def marks(self) -> Iterator[str]:
        """Yield what stands beside each figure: ``best``, ``level`` or nothing; nothing where a run is alone."""
        for level, best in zip(self.level, self.best, strict=True):
            yield "" if len(self.ranks) < 2 else "best" if best else "level" if level else ""

    def packed(self) -> bytes:
        """Return all of it as bytes."""
        numbers = 4 * self.ranks + 2 * self.level + self.best
        return struct.pack("<d", nan if self.detectable is None else self.detectable) + numbers.astype("<i4").tobytes()

    @classmethod
    def unpacked(cls, packed: bytes) -> Ranking:
        """Return what `packed` gave."""
        import numpy as np

        (detectable,) = struct.unpack_from("<d", packed)
        numbers = np.frombuffer(packed, "<i4", offset=8)
        return cls(numbers >> 2, numbers & 2 > 0, numbers & 1 > 0, None if isnan(detectable) else detectable)


def rank(columns: Sequence[Tallies], seed: int = SEED) -> Ranking:
    """Rank runs by their accuracy in one column, or by the mean of their accuracies in several.

    A pair's p-value is that of the sign-flip test, corrected by Holm's rule for the number of all pairs.

    Args:
        columns: the same runs, in the same order, in each.
        seed: of the sign patterns that are drawn, `ROUNDS` of them.
    """
    import numpy as np

    runs = len(columns[0])
    figures = np.zeros(runs)
    for places in runs_of(runs):
        for each in columns:
            figures[places] += each.counts(places).sum(axis=1, dtype=np.int64) / each.sizes.sum()
    ranks, level = np.ones(runs, np.int64), np.ones(runs, bool)
    best = figures > figures.max() - 1e-12
    pairs = _Pairs(columns, seed)
    kept, _ = first_kept(pairs.values, pairs.count)
    for one, other, p in pairs:
        told = (p < kept) & (figures[one] != figures[other])
        ahead = figures[one[told]] > figures[other[told]]
        winners, losers = np.where(ahead, (one[told], other[told]), (other[told], one[told]))
        ranks += np.bincount(losers, minlength=runs)
        level[losers[best[winners]]] = False
    return Ranking(ranks.astype(np.int32), level, best, _detectable(columns))


def blocks(runs: int) -> Iterator[tuple[Places, Places]]:
    """Yield all pairs of runs, the first one's number below the second's, a block against another at once."""
    import numpy as np

    for first in runs_of(runs):
        for last in runs_of(runs, int(first[0])):
            one, other = np.meshgrid(first, last, indexing="ij")
            below = one < other
            if below.any():
                yield one[below], other[below]


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
        below, end = (float(np.int64(each << BINS_BELOW).view(np.float64)) for each in (number, number + 1))
        if end * (count - smaller) >= ALPHA:
            before = smaller
            for value, times in _rising(values, below, end):
                level = ALPHA / (count - before)
                if value >= level:
                    return value, level
                before += times
        smaller += int(in_bin[number])
    return inf, ALPHA


def _rising(values: Callable[[], Iterator[Numbers]], start: float, end: float) -> Iterator[tuple[float, int]]:
    """Yield the values from `start` to below `end` in rising order, and how often there is each."""
    import numpy as np

    while start < end:
        limit, found, times = end, np.empty(0), np.empty(0, np.int64)
        for piece in values():
            own, own_times = np.unique(piece[(piece >= start) & (piece < limit)], return_counts=True)
            found, places = np.unique(np.concatenate([found, own]), return_inverse=True)
            times = np.bincount(places, np.concatenate([times, own_times]), len(found)).astype(np.int64)
            if len(found) > PAIRS_HELD:  # the others are looked for again, if these do not suffice
                limit = float(found[PAIRS_HELD])
                found, times = found[:PAIRS_HELD], times[:PAIRS_HELD]
        yield from zip(found.tolist(), times.tolist(), strict=True)
        start = limit


class _Pairs:
    """Finds the p-value of every pair of runs, as far as it matters; iterates over pairs and p-values, block by block.

    A normal tail says first about where Holm's rule will stop.  Pairs well on the near side of that keep an upper bound
    of their p-value, pairs well beyond it get 1, and those between are tested.  Both can only make a verdict of
    significance rarer.
    """

    def __init__(self, columns: Sequence[Tallies], seed: int) -> None:
        import numpy as np

        self.seed, self.columns = seed, columns
        self.runs = len(columns[0])
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
        self.tested = NumberRows(1, np.float64)
        """p-values of the pairs that are tested, in their order."""
        for one, other in self._near():
            self.tested.add(self._counted(one, other) if self.countable else self._drawn(one, other))

    def __iter__(self) -> Iterator[tuple[Places, Places, Numbers]]:
        import numpy as np

        start = 0
        for one, other, normal in self._normal():
            p, near = self._bounds(normal)
            end = start + int(near.sum())
            p[near] = self.tested[np.arange(start, end)].ravel()
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
        return np.concatenate([each.counts(runs) * weight for each, weight in weighted], axis=1, dtype=np.float64)

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

    def _near(self) -> Iterator[tuple[Places, Places]]:
        """Yield the pairs that are to be tested: of one block, or so many that signs are drawn a few times only."""
        import numpy as np

        held: list[tuple[Places, Places]] = []
        count = 0
        for one, other, normal in self._normal():
            near = self._bounds(normal)[1]
            held.append((one[near], other[near]))
            count += len(held[-1][0])
            if count and (self.countable or count >= PAIRS_HELD):
                yield np.concatenate([each for each, _ in held]), np.concatenate([each for _, each in held])
                held, count = [], 0
        if count:
            yield np.concatenate([each for each, _ in held]), np.concatenate([each for _, each in held])

    def _counted(self, one: Places, other: Places) -> Numbers:
        """Return exact p-values."""
        import numpy as np

        runs, places = np.unique(np.concatenate([one, other]), return_inverse=True)
        parts = self._parts(runs)
        pairs = zip(*places.reshape(2, -1).tolist(), strict=True)
        found = (p_of_sums(parts[first] - parts[second], self.seed) for first, second in pairs)
        return np.fromiter(found, np.float64, len(one))

    def _drawn(self, one: Places, other: Places) -> Numbers:
        """Return p-values from drawn patterns, those that `p_of_sums` draws."""
        import numpy as np

        found = np.abs(self.totals[one] - self.totals[other]) * (1 - 1e-9)
        outdone = np.zeros(len(one), np.int64)
        width = max(1, min(SIGNS_AT_ONCE, SUMS_AT_ONCE // self.runs))
        sums = np.empty((self.runs, width))
        for stream in range(ROUNDS // AT_ONCE):
            drawn = signs(self.seed, AT_ONCE, self.classes, stream)
            for first in range(0, AT_ONCE, width):
                own = drawn[first : first + width].T
                for runs in runs_of(self.runs):
                    sums[runs, : own.shape[1]] = self._parts(runs) @ own
                for start in range(0, len(one), PAIRS_AT_ONCE):
                    part = slice(start, start + PAIRS_AT_ONCE)
                    differences = sums[one[part], : own.shape[1]] - sums[other[part], : own.shape[1]]
                    reached = np.abs(differences) >= found[part, None]
                    outdone[part] += reached.sum(axis=1)
        p: Numbers = (1 + outdone) / (1 + ROUNDS)
        return p


def _detectable(columns: Sequence[Tallies]) -> float | None:
    """Return the detectable difference of the pair whose variance is the (upper) median, at Holm's first step."""
    import numpy as np

    runs = len(columns[0])
    pairs = runs * (runs - 1) // 2
    if not pairs:
        return None
    every, passed = -(-pairs // MOST_PAIRS), 0
    taken: list[tuple[Places, Places, Numbers]] = []
    for one, other in blocks(runs):
        own = slice(-passed % every, None, every)
        passed += len(one)
        one, other = one[own].copy(), other[own].copy()  # a view would keep the whole block
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

    counts, count = column.counts(runs).astype(np.float64), column.sizes.sum()
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
    right = column.counts(np.array(pair)).sum(axis=1, dtype=np.int64)
    mean = float(right[0] - right[1]) / count
    spread = Spread(mean, float(((scaled[1] - scaled[0]) ** 2).sum()), degrees_of_freedom(column.sizes), count)
    return with_least_variance(spread, column.differing(one, other))
