"""The order of questions and the batches that follow from it."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from toy import Picture

from fgvr_bench.core.order import plan_batches, stratified_order
from fgvr_bench.types import Example

labelled = st.lists(st.sampled_from("abcde"), min_size=1, max_size=80)


def examples_of(labels: list[str]) -> list[Example]:
    return [Example(f"d/test/{i:03}", Picture((0, 0, 0)), label, "test") for i, label in enumerate(labels)]


@given(labelled, st.integers(0, 5))
def test_every_question_is_asked_once(labels: list[str], seed: int) -> None:
    order = stratified_order(examples_of(labels), seed)
    assert sorted(order.tolist()) == list(range(len(labels)))


@given(labelled, st.integers(0, 5))
def test_every_prefix_holds_the_classes_in_proportion(labels: list[str], seed: int) -> None:
    order = stratified_order(examples_of(labels), seed)
    sizes = Counter(labels)
    for length in range(1, len(labels) + 1):
        found = Counter(labels[index] for index in order[:length])
        for label, size in sizes.items():
            assert abs(found[label] - size * length / len(labels)) <= len(sizes)


@given(labelled, st.integers(1, 9), st.integers(1, 3))
def test_batches_cut_the_order_and_permutations_stay_together(labels: list[str], size: int, permutations: int) -> None:
    plan = plan_batches(examples_of(labels), permutations, 0, size)
    asked = [number for batch in range(len(plan)) for number in plan.batch(batch)]
    assert asked == plan.order.tolist()
    assert sorted(asked) == list(range(len(labels) * permutations))
    runs = np.array(asked).reshape(-1, permutations)
    assert (runs // permutations == runs[:, :1] // permutations).all()


def test_only_batches_with_an_open_question_are_asked_again() -> None:
    plan = plan_batches(examples_of(list("abcabcab")), 1, 0, 3)
    done = np.ones(8, np.bool_)
    done[plan.batch(1)[2]] = False
    assert list(plan.open_batches(done, 8)) == [plan.batch(1)]
    assert list(plan.open_batches(done, 5)) == [], "beyond the limit nothing is open"


def test_the_order_is_pinned_so_that_old_runs_can_be_resumed() -> None:
    order = stratified_order(examples_of(list("abcdeabcdeab")), 0).tolist()
    assert order == PINNED


PINNED = [11, 5, 9, 2, 6, 3, 10, 4, 1, 7, 0, 8]


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=300), st.integers(1, 9), st.integers(1, 3))
def test_like_questions_share_batches_and_a_limited_run_asks_few_more_than_it_must(
    labels: list[str], size: int, permutations: int
) -> None:
    examples = examples_of(labels)
    likeness = np.arange(len(examples), dtype=np.int64) * 5 % 7
    plan = plan_batches(examples, permutations, 0, size, likeness)
    plain = plan_batches(examples, permutations, 0, size)
    assert sorted(plan.order.tolist()) == list(range(len(labels) * permutations))
    start, width = 0, size
    while start < len(plan.order):
        window, unsorted = plan.order[start : start + width], plain.order[start : start + width]
        assert sorted(window) == sorted(unsorted)  # what is asked early stays a fair sample
        assert (np.diff(likeness[window // permutations]) >= 0).all()
        for limit in range(start + 1, min(start + width, len(plan.order)) + 1):
            asked = start + width
            assert asked <= 2 * limit + size
        start += width
        width = min(max(size, start), 64 * size)
