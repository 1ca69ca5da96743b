"""The order of choices: the same everywhere, fair, and back again."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvr_bench.core.tasks import count_orders
from fgvr_bench.errors import UsageError
from fgvr_bench.protocols.ordering import draw, make_question_id, seeded_order, shuffled

SIZES = st.integers(2, 26)
SEEDS = st.integers(-(2**63), 2**63)


def test_orders_never_change() -> None:
    """A run of today resumes tomorrow, elsewhere: the digest of many orders is pinned."""
    orders = [seeded_order(k, seed, f"set/test/{k}#task.0", 0) for k in range(2, 27) for seed in range(20)]
    digest = hashlib.sha256(repr(orders).encode()).hexdigest()
    assert digest == "511cca1fd69b1d6f42df4b3a10adc04ec114cb9ac556c9759246126e139a1945"


def test_the_draw_is_the_digest_of_seed_and_question() -> None:
    assert draw(7, "x#t.0") == int(hashlib.sha256(b"7\nx#t.0").hexdigest(), 16)
    assert make_question_id("d/test/é~2", "task", 3) == "d/test/é~2#task.3"


@given(SIZES, SEEDS, st.text(max_size=20))
def test_every_order_is_a_permutation_and_back_again_is_the_identity(k: int, seed: int, question: str) -> None:
    order = seeded_order(k, seed, question)
    options = [f"label {index}" for index in range(k)]
    shown = [options[index] for index in order]
    assert [shown[order.index(index)] for index in range(k)] == options


@given(SIZES, SEEDS)
def test_the_first_k_permutations_show_every_choice_in_every_place(k: int, seed: int) -> None:
    orders = [seeded_order(k, seed, "q", permutation) for permutation in range(k)]
    assert all(sorted(places) == list(range(k)) for places in zip(*orders, strict=True))


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_all_permutations_are_every_order_once(k: int) -> None:
    orders = [tuple(seeded_order(k, 0, "q", permutation)) for permutation in range(math.factorial(k))]
    assert sorted(orders) == sorted(itertools.permutations(range(k)))
    for start in range(0, len(orders), k):
        truths = Counter(order.index(0) for order in orders[start : start + k])
        assert set(truths.values()) == {1}


def test_there_is_no_permutation_beyond_the_last() -> None:
    with pytest.raises(UsageError, match="3 choices have 6 orders; there is no permutation 6"):
        seeded_order(3, 0, "q", 6)
    with pytest.raises(UsageError):
        seeded_order(3, 0, "q", -1)


def test_no_order_is_likelier_than_another() -> None:
    """24 orders of 4 choices over 24,000 questions: chi-squared with 23 degrees of freedom, 0.1 % point 49.7."""
    counts = Counter(tuple(seeded_order(4, 0, f"q{number}")) for number in range(24_000))
    assert sum((counts[order] - 1000) ** 2 / 1000 for order in itertools.permutations(range(4))) < 49.7


def test_an_order_of_another_seed_or_question_is_another() -> None:
    orders = {tuple(seeded_order(10, seed, question)) for seed in range(10) for question in ("a", "b", "c")}
    assert len(orders) == 30


def test_the_shuffle_reads_its_number_in_mixed_radix() -> None:
    assert sorted(tuple(shuffled(4, number)) for number in range(24)) == sorted(itertools.permutations(range(4)))


@pytest.mark.parametrize("wish", ["0", "25", "-1", "some", "", "١", "1.5"])
def test_a_number_of_orders_that_cannot_be_is_refused(wish: str) -> None:
    with pytest.raises(UsageError, match="cyclic, all"):
        count_orders(4, wish)


def test_all_orders_of_many_choices_are_too_many() -> None:
    assert count_orders(6, "all") == 720
    with pytest.raises(UsageError):
        count_orders(7, "all")
    assert count_orders(26, "cyclic") == 26
