"""Many runs on the same questions at once: who is significantly better than whom.

The formulae are those of `core/statistics.py`.  A run is its number of right answers in each class, a row of a matrix;
the signed sums of a hundred runs under a thousand sign patterns are one product of matrices, and the difference of two
runs under a pattern is the difference of their sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

from fgvr_bench.core.statistics import (
    ALPHA,
    MOST_FLIPPED,
    ROUNDS,
    SEED,
    Spread,
    degrees_of_freedom,
    detectable_difference,
    least_p,
    mean_of_spreads,
    p_of_sums,
    signs,
    with_least_variance,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

SCREENED = 1000
"""Patterns that every pair is held against first."""
CLEARLY_LUCK = 0.1
"""A pair that more of those patterns outdo than this share is no difference, and is asked no further."""
MOST_COUNTED = 300
"""So many pairs are counted out; of more than that, only those that drawn patterns hardly ever outdo."""
SCARCELY = 20
"""Patterns of all that are drawn: a pair that is outdone by fewer is counted out, where that can be done."""
PAIRS_AT_ONCE = 200
VERSION = 1
"""Of this way of ranking; part of the key that rankings are kept under."""


@dataclass(frozen=True, slots=True)
class Tallies:
    """Some runs' right answers in one column, by class."""

    counts: Numbers
    """Right answers, shape (runs, classes)."""
    sizes: Numbers
    """Questions, shape (classes,)."""
    squares: Numbers
    """Number of questions that two runs answer differently, shape (runs, runs)."""


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


def tally(correct: Sequence[NDArray[np.bool_]], clusters: NDArray[np.int32]) -> Tallies:
    """Count right answers by class.

    Args:
        correct: of each run, shape (questions,).
        clusters: number of each question's class, counted from 0.
    """
    import numpy as np

    rows = np.array(correct, np.float32)
    classes = int(clusters.max()) + 1
    counts = np.array([np.bincount(clusters, row, minlength=classes) for row in rows])
    both = (rows @ rows.T).astype(np.float64)  # whole numbers below 2^24: exact in any order
    right = counts.sum(axis=1)
    squares = right[:, None] + right[None, :] - 2 * both
    return Tallies(counts, np.bincount(clusters, minlength=classes).astype(np.float64), squares)


def rank(columns: Sequence[Tallies], seed: int = SEED, rounds: int = ROUNDS) -> Ranking:
    """Rank runs by their accuracy in one column, or by the mean of their accuracies in several.

    A pair's p-value is that of the sign-flip test, corrected by Holm's rule for the number of all pairs.

    Args:
        columns: the same runs, in the same order, in each.
        seed: of the sign patterns that are drawn.
        rounds: see `sign_flip_test`.
    """
    import numpy as np

    runs = len(columns[0].counts)
    one, other = np.triu_indices(runs, 1)
    figures = np.sum([each.counts.sum(axis=1) / each.sizes.sum() for each in columns], axis=0)
    p = _pair_values(columns, one, other, seed, rounds)
    significant = _holm(p) < ALPHA
    ahead = figures[one] > figures[other]
    better = np.zeros((runs, runs), bool)
    better[one, other] = np.logical_and(significant, ahead)
    better[other, one] = np.logical_and(significant, ~ahead)
    best = np.flatnonzero(figures > figures.max() - 1e-12)
    worse: NDArray[np.bool_] = np.any(better[best], axis=0)
    return Ranking(
        ranks=tuple(int(1 + count) for count in better.sum(axis=0)),
        level=tuple(not each for each in worse),
        best=tuple(best.tolist()),
        detectable=_detectable(columns, one, other),
    )


def _pair_values(
    columns: Sequence[Tallies], one: NDArray[np.intp], other: NDArray[np.intp], seed: int, rounds: int
) -> Numbers:
    """Return the p-value of each pair."""
    import numpy as np

    whole = len(columns) == 1
    weights = np.concatenate([np.full(len(each.sizes), 1.0 if whole else 1 / each.sizes.sum()) for each in columns])
    parts = np.concatenate([each.counts for each in columns], axis=1) * weights
    found = np.abs(parts.sum(axis=1)[one] - parts.sum(axis=1)[other])
    found[found < 1e-12] = 0
    gram = parts @ parts.T
    squares = np.maximum(gram[one, one] + gram[other, other] - 2 * gram[one, other], 0)
    p = np.ones(len(one))
    clear = found**2 > 2 * squares * log(2 * (rounds + 1)) * (1 + 1e-9)
    p[clear] = [least_p(*pair) for pair in zip(found[clear].tolist(), squares[clear].tolist(), strict=True)]
    left = np.flatnonzero(~clear & (found > 0))
    outdone = _outdone(sums_under(parts, seed, SCREENED), one[left], other[left], found[left])
    p[left] = (1 + outdone) / (1 + SCREENED)
    left = left[outdone <= CLEARLY_LUCK * SCREENED]
    countable = whole or parts.shape[1] <= MOST_FLIPPED
    if not countable or len(left) > MOST_COUNTED:
        outdone = np.zeros(len(left), np.int64)
        for stream in range(1, -(-rounds // SCREENED) + 1):
            outdone += _outdone(sums_under(parts, seed, SCREENED, stream), one[left], other[left], found[left])
        p[left] = (1 + outdone) / (1 + SCREENED * stream)
        left = left[outdone < SCARCELY] if countable else left[:0]
    for pair in left:
        p[pair] = p_of_sums(parts[one[pair]] - parts[other[pair]], seed, rounds)
    return p


def sums_under(parts: Numbers, seed: int, rounds: int, stream: int = 0) -> Numbers:
    """Return each run's signed sum under drawn sign patterns, shape (runs, rounds)."""
    import numpy as np

    return np.ascontiguousarray(parts @ signs(seed, rounds, parts.shape[1], stream).T)


def _outdone(sums: Numbers, one: NDArray[np.intp], other: NDArray[np.intp], found: Numbers) -> NDArray[np.int64]:
    """Return how many patterns give at least the difference found, for each pair."""
    import numpy as np

    counts = np.zeros(len(one), np.int64)
    for start in range(0, len(one), PAIRS_AT_ONCE):
        own = slice(start, start + PAIRS_AT_ONCE)
        reached = np.abs(sums[one[own]] - sums[other[own]]) >= found[own, None] * (1 - 1e-9)
        counts[own] = reached.sum(axis=1)
    return counts


def _holm(p: Numbers) -> Numbers:
    """Return what `statistics.holm` does, for many."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(stepped) if len(p) else stepped
    return corrected


def _detectable(columns: Sequence[Tallies], one: NDArray[np.intp], other: NDArray[np.intp]) -> float | None:
    """Return the detectable difference of the pair whose variance is the (upper) median, at Holm's first step."""
    import numpy as np

    if not len(one):
        return None
    variances = np.sum([_variances(each)[one, other] for each in columns], axis=0)
    place = int(np.argsort(variances, kind="stable")[len(one) // 2])
    pair = one[place], other[place]
    return detectable_difference(mean_of_spreads([_spread(each, *pair) for each in columns]), ALPHA / len(one))


def _variances(column: Tallies) -> Numbers:
    """Return the clustered variance of the difference of each two runs, shape (runs, runs)."""
    import numpy as np

    count = column.sizes.sum()
    share = 1 - column.sizes / count
    if len(column.sizes) < 2:
        return np.zeros_like(column.squares)
    residuals = column.counts - (column.counts.sum(axis=1) / count)[:, None] * column.sizes
    scaled = residuals / np.sqrt(share)
    gram = scaled @ scaled.T
    size = np.diag(gram)
    variances: Numbers = (size[:, None] + size[None, :] - 2 * gram) / count**2
    return variances.round(15)  # so that the median pair is the same one on every machine


def _spread(column: Tallies, one: int, other: int) -> Spread:
    difference = column.counts[one] - column.counts[other]
    count = int(column.sizes.sum())
    variance = float(_variances(Tallies(column.counts[[one, other]], column.sizes, column.squares[:2, :2]))[0, 1])
    spread = Spread(float(difference.sum()) / count, variance, degrees_of_freedom(column.sizes), count)
    return with_least_variance(spread, float(column.squares[one, other]))
