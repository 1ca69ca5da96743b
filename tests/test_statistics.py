"""Intervals cover, tests keep their level, and every figure is what scipy or a count by hand gives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from fgvr_bench.core import statistics
from fgvr_bench.core.statistics import (
    Interval,
    Spread,
    beta_binomial_cumulants,
    clustered_interval,
    clustered_spread,
    detectable_difference,
    difference_spread,
    holm,
    mcnemar_exact,
    mean_of_datasets,
    mean_of_spreads,
    paired_difference,
    sign_flip_test,
)

Answers = NDArray[np.bool_]

bits = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), min_size=2, max_size=60)


def by_class(shares: NDArray[np.float64], each: int, generator: np.random.Generator) -> Answers:
    """Draw answers with the share right of each class, `each` questions a class."""
    return (generator.random((len(shares), each)) < shares[:, None]).ravel()


def test_the_variance_is_the_textbook_one_where_every_question_is_a_class_of_its_own() -> None:
    generator = np.random.default_rng(0)
    values = generator.random(50)
    spread = clustered_spread(values, np.arange(50))
    assert spread.mean == pytest.approx(values.mean())
    assert spread.variance == pytest.approx(stats.sem(values) ** 2)
    assert spread.degrees == pytest.approx(49)


def test_the_variance_is_that_of_the_class_means_where_classes_are_equal() -> None:
    correct = by_class(np.linspace(0.2, 0.9, 12), 30, np.random.default_rng(1))
    spread = clustered_spread(correct, np.repeat(np.arange(12), 30))
    assert spread.variance == pytest.approx(stats.sem(correct.reshape(12, 30).mean(axis=1)) ** 2)
    assert spread.degrees == pytest.approx(11)


def test_the_variance_of_uneven_classes_is_what_the_matrices_give() -> None:
    """CR2 and its degrees of freedom, written out with matrices as Bell & McCaffrey do."""
    sizes = np.array([3, 8, 20, 5])
    clusters = np.repeat(np.arange(4), sizes)
    values = np.random.default_rng(2).random(36)
    x = np.ones((36, 1))
    residuals_of = np.eye(36) - x @ x.T / 36
    parts = []
    for cluster in range(4):
        own = np.flatnonzero(clusters == cluster)
        root = np.linalg.eigh(np.eye(len(own)) - 1 / 36)
        adjusted = root.eigenvectors @ np.diag(root.eigenvalues**-0.5) @ root.eigenvectors.T
        parts.append((x[own].T @ adjusted @ residuals_of[own]).ravel() / 36)
    rows = np.array(parts)
    gram = rows @ rows.T
    spread = clustered_spread(values, clusters)
    assert spread.variance == pytest.approx(((rows @ values) ** 2).sum())
    assert spread.degrees == pytest.approx(np.trace(gram) ** 2 / np.trace(gram @ gram))


@pytest.mark.parametrize(("right", "low", "high"), [(0, 0.0, 0.16), (100, 0.84, 1.0)])
def test_nothing_and_everything_right_have_intervals_that_say_how_much_was_asked(
    right: int, low: float, high: float
) -> None:
    correct = np.arange(100) < right
    interval = clustered_interval(correct, np.arange(100) % 20)
    assert low <= interval.low < interval.high <= high
    wider = clustered_interval(correct[:20], np.arange(20) % 20) if right == 0 else None
    assert wider is None or wider.high > interval.high


def test_one_class_shows_nothing_of_how_classes_differ() -> None:
    assert clustered_interval([True, False, True], [4, 4, 4]) == Interval(0.0, 1.0)
    assert paired_difference([True, False], [False, False], [1, 1])[1] == Interval(-1.0, 1.0)
    assert detectable_difference(Spread(0.0, 0.0, 0.0, 5)) is None


@given(bits)
def test_intervals_hold_their_figure_and_mirror_each_other(rows: list[tuple[bool, bool, int]]) -> None:
    correct, other, clusters = map(np.array, zip(*rows, strict=True))
    interval = clustered_interval(correct, clusters)
    mirrored = clustered_interval(~correct, clusters)
    assert 0 <= interval.low <= correct.mean() + 1e-12
    assert correct.mean() - 1e-12 <= interval.high <= 1
    assert mirrored.low == pytest.approx(1 - interval.high, abs=1e-9)
    difference, limits = paired_difference(correct, other, clusters)
    back, turned = paired_difference(other, correct, clusters)
    assert limits.low <= difference <= limits.high
    assert (back, turned.low) == (pytest.approx(-difference), pytest.approx(-limits.high))


def coverage(shares: list[float], sizes: NDArray[np.int64], likeness: float, rounds: int = 600) -> float:
    """Return how often the interval of a mean over datasets holds the truth; classes differ by beta draws."""
    generator = np.random.default_rng(7)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    held = 0
    for _ in range(rounds):
        figures = []
        for share in shares:
            scale = (1 - likeness) / likeness
            of_class = generator.beta(share * scale, (1 - share) * scale, len(sizes))
            correct = generator.random(len(clusters)) < of_class[clusters]
            figures.append((float(correct.mean()), clustered_interval(correct, clusters)))
        _, interval = mean_of_datasets(figures)
        held += interval.low <= np.mean(shares) <= interval.high
    return held / rounds


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ([0.7], np.full(24, 50)),
        ([0.9], np.full(100, 30)),
        ([0.5], np.array([200, 20, 20, 20, 20, 20, 40, 100])),
        ([0.6, 0.8, 0.9], np.full(30, 20)),
    ],
)
def test_intervals_cover_the_truth_under_class_effects(shares: list[float], sizes: NDArray[np.int64]) -> None:
    assert 0.925 <= coverage(shares, sizes, likeness=0.1) <= 0.985


@pytest.mark.parametrize("sizes", [np.full(24, 50), np.array([200, 20, 20, 20, 20, 20, 40, 100])])
def test_intervals_cover_where_few_classes_hold_most_of_the_errors(sizes: NDArray[np.int64]) -> None:
    """Without the kurtosis of `degrees_of_share` they cover 0.92 and 0.90."""
    assert 0.935 <= coverage([0.9], sizes, likeness=0.3, rounds=2000) <= 0.98


@pytest.mark.parametrize(("share", "likeness"), [(0.9, 0.3), (0.5, 0.02), (0.7, 0.0)])
def test_cumulants_of_a_class_are_those_of_a_beta_binomial(share: float, likeness: float) -> None:
    from scipy.stats import betabinom, binom

    scale = (1 - likeness) / likeness if likeness else 0.0
    for size in (1, 7, 238):
        known = betabinom(size, share * scale, (1 - share) * scale) if scale else binom(size, share)
        variance, kurtosis = map(float, known.stats("vk"))
        second, fourth = beta_binomial_cumulants(np.array([float(size)]), share, likeness)
        assert second[0] == pytest.approx(variance)
        assert fourth[0] == pytest.approx(kurtosis * variance**2, rel=1e-6, abs=1e-9)


def test_intervals_that_take_questions_for_independent_would_not() -> None:
    """The control: the same classes, with every question its own cluster."""
    generator = np.random.default_rng(8)
    held = 0
    for _ in range(300):
        correct = by_class(generator.beta(2.1, 0.9, 24), 50, generator)
        interval = clustered_interval(correct, np.arange(1200))
        held += interval.low <= 0.7 <= interval.high
    assert held / 300 < 0.7


def test_the_mean_over_datasets_combines_their_variances() -> None:
    """Far from 0 % and 100 % it is the square root of the sum of squares of the half-widths."""
    figures = [(0.5, Interval(0.47, 0.53)), (0.6, Interval(0.56, 0.64))]
    share, interval = mean_of_datasets(figures)
    assert share == pytest.approx(0.55)
    assert interval.high - share == pytest.approx(0.025)
    assert share - interval.low == pytest.approx(0.025)
    assert mean_of_datasets(figures[:1])[1] == Interval(pytest.approx(0.47), pytest.approx(0.53))


def test_spreads_of_datasets_combine_as_welch_and_satterthwaite_say() -> None:
    one, other = np.random.default_rng(3).random(12), np.random.default_rng(4).random(30) * 3
    parts = [clustered_spread(each, np.arange(len(each))) for each in (one, other)]
    mean = mean_of_spreads(parts)
    welch = stats.ttest_ind(one, -other, equal_var=False)  # its standard error and df are those of the sum
    assert mean.degrees == pytest.approx(welch.df)
    assert 2 * mean.mean / (4 * mean.variance) ** 0.5 == pytest.approx(welch.statistic)


def test_a_difference_is_that_of_the_paired_class_means() -> None:
    generator = np.random.default_rng(5)
    a, b = (by_class(np.linspace(0.2, 0.9, 12), 30, generator) for _ in range(2))
    clusters = np.repeat(np.arange(12), 30)
    difference, interval = paired_difference(a, b, clusters)
    means = (a * 1.0 - b).reshape(12, 30).mean(axis=1)
    known = stats.ttest_1samp(means, 0).confidence_interval()
    assert difference == pytest.approx(means.mean())
    assert (interval.low, interval.high) == (pytest.approx(known.low), pytest.approx(known.high))


def test_two_models_that_never_differ_were_not_shown_to_be_equal() -> None:
    same = np.ones(50, bool)
    difference, interval = paired_difference(same, same, np.arange(50) % 10)
    assert difference == 0
    assert interval.low < 0 < interval.high
    assert interval.high < 0.05


@given(bits)
def test_sign_flips_count_out_every_pattern(rows: list[tuple[bool, bool, int]]) -> None:
    a, b, clusters = map(np.array, zip(*rows, strict=True))
    sums = [int((a[clusters == each] * 1 - b[clusters == each]).sum()) for each in np.unique(clusters)]
    found = abs(sum(sums))
    patterns = [abs(sum(s * v for s, v in zip(each, sums, strict=True))) for each in product((1, -1), repeat=len(sums))]
    expected = np.mean([each >= found for each in patterns])
    assert sign_flip_test(a, b, clusters) == pytest.approx(expected)
    assert sign_flip_test(b, a, clusters) == sign_flip_test(a, b, clusters)


def test_sign_flips_agree_with_scipy() -> None:
    generator = np.random.default_rng(6)
    a, b = generator.random(90) < 0.7, generator.random(90) < 0.5
    clusters = np.arange(90) % 9
    sums = np.bincount(clusters, a * 1.0 - b)
    known = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(a, b, clusters) == pytest.approx(known.pvalue)


def test_a_mean_over_datasets_is_counted_out_for_few_classes_and_drawn_for_many() -> None:
    generator = np.random.default_rng(9)
    datasets = np.repeat([0, 1], [40, 200])
    for classes in (6, 12):
        clusters = np.concatenate([np.arange(40) % classes, 100 + np.arange(200) % classes])
        a, b = generator.random(240) < 0.7, generator.random(240) < 0.6
        parts = np.concatenate(
            [
                np.bincount(clusters[:40], a[:40] * 1.0 - b[:40]) / 40,
                np.bincount(clusters[40:] - 100, a[40:] * 1.0 - b[40:]) / 200,
            ]
        )
        known = stats.permutation_test(
            (parts,), np.sum, permutation_type="samples", n_resamples=np.inf if classes == 6 else 50_000, rng=1
        ).pvalue
        assert sign_flip_test(a, b, clusters, datasets) == pytest.approx(known, abs=1e-9 if classes == 6 else 0.02)


def test_drawn_patterns_follow_the_seed_alone() -> None:
    generator = np.random.default_rng(10)
    a, b, clusters = generator.random(400), generator.random(400), np.arange(400) % 40
    first = sign_flip_test(a, b, clusters, seed=1)
    assert sign_flip_test(a, b, clusters, seed=1) == first
    assert sign_flip_test(a, b, clusters, seed=2) != first
    assert sign_flip_test(a, b, clusters, seed=2) == pytest.approx(first, abs=0.03)


def test_what_rounds_cannot_show_is_bounded() -> None:
    clusters = np.arange(400) % 40
    p = sign_flip_test(np.full(400, 0.9), np.linspace(0.1, 0.2, 400), clusters)
    assert 0 < p < 1e-6
    assert p >= 2 / 2**40, "no p is less than that of one pattern and its mirror"


def level_of(clustered: bool, rounds: int = 400) -> float:
    """Return how often two equally good models are told apart, whose classes differ."""
    generator = np.random.default_rng(11)
    clusters = np.repeat(np.arange(24), 30)
    found = 0
    for _ in range(rounds):
        a, b = (by_class(generator.beta(2, 1, 24), 30, generator) for _ in range(2))
        found += (sign_flip_test(a, b, clusters) if clustered else mcnemar_exact(a, b)) < 0.05
    return found / rounds


def test_the_clustered_test_keeps_its_level_and_one_of_questions_does_not() -> None:
    assert level_of(clustered=True) < 0.08
    assert level_of(clustered=False) > 0.2, "which is why McNemar's stands beside, not in the place of it"


def test_a_difference_as_large_as_the_detectable_one_is_found_in_four_of_five_cases() -> None:
    generator = np.random.default_rng(12)
    clusters = np.repeat(np.arange(40), 25)
    spreads = []
    for _ in range(60):
        a, b = (by_class(np.full(40, 0.6), 25, generator) for _ in range(2))
        spreads.append(detectable_difference(difference_spread(a, b, clusters)) or 0)
    smallest = float(np.mean(spreads))
    found = 0
    for _ in range(300):
        a, b = (by_class(np.full(40, 0.6 + gain), 25, generator) for gain in (smallest, 0))
        found += sign_flip_test(a, b, clusters) < 0.05
    assert found / 300 == pytest.approx(0.8, abs=0.07)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_rule_does(values: list[float]) -> None:
    corrected = holm(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    going = True
    for rank, place in enumerate(order):
        going = going and values[place] * (len(values) - rank) < 0.05
        assert (corrected[place] < 0.05) == going
    assert all(one >= other for one, other in zip(corrected, values, strict=True))


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    a = np.array([True] * only_a + [False] * only_b + [True, False])
    b = np.array([False] * only_a + [True] * only_b + [True, False])
    known = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar_exact(a, b) == pytest.approx(known)


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="clusters"):
        clustered_interval([True, False], [1])
    with pytest.raises(ValueError, match="values"):
        clustered_interval([], [])


def test_the_t_quantile_is_the_normal_one_in_the_limit() -> None:
    assert statistics.t_quantile(0.975, 1e9) == pytest.approx(1.959964, abs=1e-6)
