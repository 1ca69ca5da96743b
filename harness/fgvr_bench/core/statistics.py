"""How sure a figure is, and whether a difference is more than luck.

Questions about one class are alike: they share a label, its siblings, a photographer.  So classes, not questions, are
what a dataset is a sample of, and every figure here is clustered by class.  All functions take arrays with an entry a
question: ``correct`` (bool, or credit from 0 to 1) and ``clusters`` (a number for the class); two arrays that are
compared hold the same questions in the same order.

Formulae and sources stand at each function; `docs/leaderboards.md` explains them, and `benchmarks/board_statistics.py`
shows by simulation that intervals cover and tests keep their level.  Holding many runs against one another at once is
`core/ranking.py`, on the same formulae.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import erfc, fsum, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

LEVEL = 0.95
"""Of every interval."""
ALPHA = 0.05
"""A difference is called significant below this, after Holm's correction."""
LEAST_DEGREES = 2.0
"""Of a share's variance: with fewer, an interval would tell next to nothing of shares that are close to 0 or 1."""
POWER = 0.8
"""Of the smallest difference that could have been detected."""
ROUNDS = 10_000
"""Of a permutation test that is too large to be counted out."""
SEED = 0
TAIL = 1 / (2 * erfc(1))
"""How much heavier than a normal tail that of a sum with random signs can be: ``1 / (4 P(Z >= sqrt 2))``."""
AT_ONCE = 1000
"""Sign patterns of one stream of the generator."""
MOST_STEPS = 20_000_000
"""A distribution of sums is counted out up to this many additions."""
MOST_FLIPPED = 14
"""Sums that are no whole numbers are counted out up to this many clusters."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits of a 95 % interval, as shares of 1 (differences: from -1 to 1)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean with the variance of it that its clusters show."""

    mean: float
    variance: float
    degrees: float
    """Degrees of freedom of that variance; 0 where one cluster is all there is, which shows none."""
    count: int
    """Questions."""


def clustered_interval(correct: ArrayLike, clusters: ArrayLike) -> Interval:
    """Return the 95 % interval of micro accuracy, clustered by class.

    Wilson's score interval with Student's t in place of z and the effective number of questions
    ``p (1 - p) / variance`` in place of n, never more than n (Dean & Pagano 2015, J. Survey Stat. Methodol. 3, 484-503;
    the cap also gives 0 % and 100 % their interval).  The variance is that of `clustered_spread`, and its degrees of
    freedom are those of `degrees_of_share`.
    """
    return interval_of_sums(*cluster_sums(correct, clusters))


def interval_of_sums(sums: Numbers, sizes: Numbers) -> Interval:
    """Return what `clustered_interval` does, from the right answers and sizes of the clusters.

    One cluster shows nothing of how clusters differ: the interval is everything from 0 to 1.
    """
    spread = spread_of_sums(sums, sizes)
    share, limit = spread.mean, float(spread.count)
    if not spread.degrees:
        return Interval(0.0, 1.0)
    inner = share * (1 - share)
    effective = min(limit, inner / spread.variance) if spread.variance > 0 and inner > 0 else limit
    t = t_quantile((1 + LEVEL) / 2, degrees_of_share(spread, sizes))
    scale = 1 + t * t / effective
    centre = (share + t * t / (2 * effective)) / scale
    half = t / scale * sqrt(inner / effective + t * t / (4 * effective**2))
    return Interval(min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def clustered_spread(values: ArrayLike, clusters: ArrayLike) -> Spread:
    """Return the mean of all values with its cluster-robust variance, right for few and for uneven clusters.

    With ``S_g`` the sum of residuals and ``h_g`` the share of all questions in cluster g, the variance is
    ``sum S_g^2 / (1 - h_g) / n^2`` (CR2; Bell & McCaffrey 2002, Survey Methodology 28, 169-181) and its degrees of
    freedom are Satterthwaite's for independent residuals (ibid., section 4): G - 1 for G equal clusters, fewer for
    uneven ones.
    """
    sums, sizes = cluster_sums(values, clusters)
    return spread_of_sums(sums, sizes)


def cluster_sums(values: ArrayLike, clusters: ArrayLike) -> tuple[Numbers, Numbers]:
    """Return the sum of the values and the number of questions of each cluster that has any.

    Raises:
        ValueError: no questions, or arrays of different lengths.
    """
    import numpy as np

    flat = np.asarray(values, np.float64)
    _, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    if not len(flat) or flat.shape != numbers.shape:
        raise ValueError(f"{flat.shape} values and {numbers.shape} clusters")
    sums: Numbers = np.bincount(numbers, flat).astype(np.float64)
    return sums, np.bincount(numbers).astype(np.float64)


def spread_of_sums(sums: Numbers, sizes: Numbers) -> Spread:
    """Return what `clustered_spread` does, from the sums and sizes of the clusters."""
    count = int(sizes.sum())
    mean = fsum(sums) / count
    if len(sizes) < 2:
        return Spread(mean, 0.0, 0.0, count)
    residuals = sums - mean * sizes
    variance = fsum(residuals**2 / (1 - sizes / count)) / count**2
    return Spread(mean, variance, degrees_of_freedom(sizes), count)


def degrees_of_freedom(sizes: Numbers) -> float:
    """Return ``(tr M)^2 / tr M^2`` for the clustered variance as a quadratic form M in independent residuals.

    >>> import numpy as np
    >>> round(degrees_of_freedom(np.array([50.0] * 24)), 6)
    23.0
    """
    if len(sizes) < 2:
        return 0.0
    count = fsum(sizes)
    between = sizes**2 / (count - sizes)
    return count**2 / fsum([*(sizes**2), fsum(between) ** 2, *(-(between**2))])


def degrees_of_share(spread: Spread, sizes: Numbers) -> float:
    """Return the degrees of freedom of a share's clustered variance: fewer than normal residuals have.

    Near 0 % and 100 % a few classes hold most of the errors, and a sample that lacks them shows too high a share with
    too small a variance.  The variance of a variance grows with the fourth cumulants of what it is made of, so

        1 / degrees = 1 / degrees_of_freedom + sum k4_g / (1 - h_g)^2 / (2 (sum k2_g / (1 - h_g))^2)

    (moments of an estimated variance matched to a chi-square: Satterthwaite 1946, Biometrics Bulletin 2, 110-114; with
    kurtosis: Shoemaker 2003, The American Statistician 57, 105-114, whose equation 1 it is for equal classes).  The
    cumulants of a class's right answers are those of a beta-binomial (Skellam 1948, J. R. Stat. Soc. B 10, 257-261) of
    the share and the likeness within classes that the sample shows; its fourth moment itself tells too little in few
    classes.  Never fewer than `LEAST_DEGREES`.
    """
    count = float(spread.count)
    share = min(max(spread.mean, 0.5 / count), 1 - 0.5 / count)
    pairs = fsum(sizes**2) - count
    excess = spread.variance * count**2 / (share * (1 - share)) - count
    likeness = min(max(excess / pairs, 0.0), 0.99) if pairs > 0 else 0.0
    second, fourth = beta_binomial_cumulants(sizes, share, likeness)
    weights = 1 / (1 - sizes / count)
    heavier = max(0.0, fsum(weights**2 * fourth)) / (2 * fsum(weights * second) ** 2)
    return max(min(LEAST_DEGREES, spread.degrees), 1 / (1 / spread.degrees + heavier))


def beta_binomial_cumulants(sizes: Numbers, share: float, likeness: float) -> tuple[Numbers, Numbers]:
    """Return the second and fourth cumulants of numbers of right answers out of `sizes`.

    Args:
        sizes: questions of each class, shape (classes,).
        share: mean of the classes' accuracies, within 0 and 1.
        likeness: share of an answer's variance that is its class's, from 0 (binomial) to below 1.
    """
    import numpy as np

    step = likeness / (1 - likeness)
    falling, factorial = np.ones_like(sizes), []
    for k in range(4):
        falling = falling * (sizes - k) * (share + k * step) / (1 + k * step)
        factorial.append(falling)
    one, two, three, four = factorial
    raw = two + one, three + 3 * two + one, four + 6 * three + 7 * two + one
    second = raw[0] - one**2
    fourth = raw[2] - 4 * one * raw[1] + 6 * one**2 * raw[0] - 3 * one**4 - 3 * second**2
    return second, fourth


def mean_of_datasets(figures: Sequence[tuple[float, Interval]]) -> tuple[float, Interval]:
    """Return the mean over datasets and its interval, from each dataset's accuracy and interval.

    Datasets are independent, so their variances add up.  Each side's variance is recovered from that side's limits
    (MOVER; Zou & Donner 2008, Statistics in Medicine 27, 1693-1702): the lower limit is
    ``mean - sqrt(sum (p_d - low_d)^2) / D``, the upper one likewise, so it stays right beside 0 % and 100 %.
    """
    share = fsum(each for each, _ in figures) / len(figures)
    below = sqrt(fsum((each - interval.low) ** 2 for each, interval in figures)) / len(figures)
    above = sqrt(fsum((interval.high - each) ** 2 for each, interval in figures)) / len(figures)
    return share, Interval(share - below, share + above)


def paired_difference(
    a: ArrayLike, b: ArrayLike, clusters: ArrayLike, datasets: ArrayLike | None = None
) -> tuple[float, Interval]:
    """Return the accuracy of `a` minus that of `b` on the same questions, and its 95 % interval.

    Args:
        a: an entry a question.
        b: the same questions.
        clusters: the class of each question; classes of different datasets have different numbers.
        datasets: a number for the dataset of each question gives the difference of means over datasets; None that of
            all questions together.
    """
    spread = difference_spread(a, b, clusters, datasets)
    if not spread.degrees:
        return spread.mean, Interval(-1.0, 1.0)
    half = t_quantile((1 + LEVEL) / 2, spread.degrees) * sqrt(spread.variance)
    return spread.mean, Interval(max(-1.0, spread.mean - half), min(1.0, spread.mean + half))


def difference_spread(a: ArrayLike, b: ArrayLike, clusters: ArrayLike, datasets: ArrayLike | None = None) -> Spread:
    """Return the mean of ``a - b`` with its clustered variance, never less than that of questions that agree by luck.

    The least variance is that of one more question that only a, and one that only b answers rightly, half a question
    each (Agresti & Min 2005, Statistics in Medicine 24, 729-740): two models that never differ were not shown to be
    equal.  Variances of datasets add up; the degrees of freedom of the sum are Satterthwaite's.
    """
    import numpy as np

    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    if datasets is None:
        return with_least_variance(clustered_spread(difference, clusters), float(fsum(difference**2)))
    numbers, classes = np.asarray(datasets), np.asarray(clusters)
    parts = []
    for dataset in np.unique(numbers):
        own = numbers == dataset
        square = float(fsum(difference[own] ** 2))
        parts.append(with_least_variance(clustered_spread(difference[own], classes[own]), square))
    return mean_of_spreads(parts)


def with_least_variance(spread: Spread, squares: float) -> Spread:
    """Return a difference's spread with at least the variance that `difference_spread` speaks of.

    Args:
        spread: the difference's mean and clustered variance.
        squares: sum over questions of the squared difference, the number of questions that the two differ in.
    """
    count = spread.count + 2
    least = ((squares + 1) - (spread.mean * spread.count) ** 2 / count) / count**2
    return Spread(spread.mean, max(spread.variance, least), spread.degrees, spread.count)


def mean_of_spreads(parts: Sequence[Spread]) -> Spread:
    """Return the mean over independent datasets: variances combined, Satterthwaite's degrees of freedom."""
    size = len(parts)
    variance = fsum(part.variance for part in parts) / size**2
    known = all(part.degrees for part in parts)
    share = fsum((part.variance / size**2) ** 2 / part.degrees for part in parts) if known else 0.0
    mean = fsum(part.mean for part in parts) / size
    return Spread(mean, variance, variance**2 / share if share else 0.0, sum(part.count for part in parts))


def detectable_difference(spread: Spread, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Return the smallest true difference that a test of level `alpha` would have found with this power.

    ``(t(1 - alpha/2) + t(power)) x standard error`` (Bloom 1995, Evaluation Review 19, 547-556).

    Args:
        spread: that of the difference, from `difference_spread`.
        alpha: of the test; a board of m pairs takes 0.05 / m, the first step of Holm's correction.
        power: probability of finding it.

    Returns:
        A share of 1; None where one class is all there is.
    """
    if not spread.degrees:
        return None
    return (t_quantile(1 - alpha / 2, spread.degrees) + t_quantile(power, spread.degrees)) * sqrt(spread.variance)


def sign_flip_test(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike,
    datasets: ArrayLike | None = None,
    seed: int = SEED,
    rounds: int = ROUNDS,
) -> float:
    """Return the two-sided p-value of a paired sign-flip permutation test, clustered by class.

    Were the models equally good, then each class's difference could as well have had the other sign.  The statistic
    is what is printed: the difference of accuracies, or of their means over `datasets`.  p is the share of all
    sign patterns that give at least the difference found (Fisher 1935, The Design of Experiments, section 21; for
    clusters: Hayes & Moulton 2017, Cluster Randomised Trials, 2nd edition).

    All patterns are counted where that can be done: always for 14 classes that differ or fewer, and for any number
    where each answer is right or wrong and there is one statistic over all questions (sums of whole numbers).
    Otherwise `rounds` of them are drawn, the one found is counted among them, and where an upper bound of p
    (`greatest_p`) lies below what that many rounds can show, the bound is returned.

    Args:
        a: an entry a question.
        b: the same questions.
        clusters: the class of each question; classes of different datasets have different numbers.
        datasets: None, or a number for each question's dataset: then the statistic is the mean over datasets.
        seed: of the patterns that are drawn.
        rounds: how many are drawn.
    """
    import numpy as np

    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    weights = np.ones_like(difference)
    if datasets is not None:
        _, numbers, counts = np.unique(np.asarray(datasets), return_inverse=True, return_counts=True)
        weights = 1 / counts[numbers]
    sums, sizes = cluster_sums(difference, clusters)
    if datasets is not None:
        sums = sums * (cluster_sums(weights, clusters)[0] / sizes)
    return p_of_sums(sums, seed, rounds)


def p_of_sums(sums: Numbers, seed: int = SEED, rounds: int = ROUNDS) -> float:
    """Return the p-value of `sign_flip_test` from each cluster's part of the difference."""
    import numpy as np

    parts = np.abs(sums[sums != 0])
    found = abs(fsum(sums))
    if not len(parts):
        return 1.0
    if (parts == np.round(parts)).all() and fsum(parts) * len(parts) <= MOST_STEPS:
        return _counted_whole(parts.astype(np.int64), round(found))
    if len(parts) <= MOST_FLIPPED:
        return _counted(parts, found)
    bound = greatest_p(found, fsum(parts**2))
    if bound < 1 / (rounds + 1):
        return bound
    outdone = 0
    for stream, start in enumerate(range(0, rounds, AT_ONCE)):
        drawn = signs(seed, min(AT_ONCE, rounds - start), len(sums), stream) @ sums
        outdone += int((np.abs(drawn) >= found * (1 - 1e-9)).sum())
    return (1 + outdone) / (1 + rounds)


def greatest_p(found: float, squares: float) -> float:
    """Return a number that p is never above: ``c erfc(z / sqrt 2)`` with ``z = found / sqrt(sum of squares)``.

    A sum with random signs reaches z at most c = 3.178... times as often as a normal variable does (Bentkus &
    Dzindzalieta 2015, Bernoulli 21, 1231-1237, theorem 1.1).
    """
    return min(1.0, TAIL * erfc(found / sqrt(2 * squares))) if squares else 1.0


def signs(seed: int, rounds: int, clusters: int, stream: int = 0) -> Numbers:
    """Return drawn signs, -1 or 1, shape (rounds, clusters): bits of PCG64, the same on every machine."""
    import numpy as np

    words = -(-rounds * clusters // 64)
    raw = np.random.PCG64([seed, stream]).random_raw(words).astype("<u8").view(np.uint8)
    bits = np.unpackbits(raw, count=rounds * clusters, bitorder="little")
    drawn: Numbers = bits.reshape(rounds, clusters).astype(np.float64) * 2 - 1
    return drawn


def _counted_whole(parts: NDArray[np.int64], found: int) -> float:
    """Return the exact p-value for whole numbers: how many sign patterns give each sum, part after part."""
    import numpy as np

    step = int(np.gcd.reduce(parts))
    steps = np.sort(parts // step).tolist()
    whole = sum(steps)
    patterns = np.zeros(whole + 1)  # by half the distance from the least sum
    patterns[0], reach = 1.0, 1
    for number, part in enumerate(steps, 1):
        patterns[part : reach + part] += patterns[:reach].copy()
        reach += part
        if number % 512 == 0:
            patterns *= 2.0**-512  # larger counts would overflow
    return min(1.0, 2 * fsum(patterns[(whole + found // step) // 2 :]) * 2.0 ** -(len(steps) % 512))


def _counted(parts: Numbers, found: float) -> float:
    import numpy as np

    sums = np.zeros(1)
    for part in parts:
        sums = np.concatenate([sums - part, sums + part])
    return float((np.abs(sums) >= found * (1 - 1e-12)).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    The chance that any of the true hypotheses is rejected stays below the level, however the tests depend on one
    another.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = highest
    return corrected


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> float:
    """Return the exact two-sided p-value of McNemar's test (1947, Psychometrika 12, 153-157).

    Of the questions that only one of the two answers rightly, half should be the one's and half the other's.
    It takes questions for independent, which those of one class are not; `sign_flip_test` does not.
    """
    import numpy as np

    one, other = np.asarray(a, bool), np.asarray(b, bool)
    only_a, only_b = int((one & ~other).sum()), int((other & ~one).sum())
    total, few = only_a + only_b, min(only_a, only_b)
    term = tail = 1
    for k in range(1, few + 1):
        term = term * (total - k + 1) // k
        tail += term
    share: float = 2 * tail / 2**total
    return min(1.0, share)


@lru_cache(maxsize=256)
def t_quantile(share: float, degrees: float) -> float:
    """Return the quantile of Student's t distribution, to 9 decimals, so that all machines agree."""
    from scipy.special import stdtrit

    return round(float(stdtrit(degrees, share)), 9)
