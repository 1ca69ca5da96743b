"""The order of choices: seeded for each question, the same on every machine.

The order of permutation 0 is drawn from SHA-256 of (seed, question id); the other permutations follow from
it without another draw.  No global generator is used anywhere.
"""

from __future__ import annotations

import hashlib
import math

from fgvr_bench.errors import UsageError

__all__ = ["draw", "make_question_id", "seeded_order"]


def make_question_id(example_id: str, task: str, permutation: int = 0) -> str:
    """Return the key of a question: `example_id`, name of the `task` and number of the `permutation`.

    >>> make_question_id("pet-37/test/Bombay_7.jpg", "multiple-choice")
    'pet-37/test/Bombay_7.jpg#multiple-choice.0'
    """
    return f"{example_id}#{task}.{permutation}"


def draw(seed: int, question_id: str) -> int:
    """Return the 256 random bits that `seed` and `question_id` give, as a number in [0, 2**256)."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{question_id}".encode()).digest(), "big")


def shuffled(k: int, number: int) -> list[int]:
    """Return a permutation of ``range(k)`` by Fisher-Yates (Durstenfeld, 1964), its draws the digits of `number`.

    The draws are digits of `number` in mixed radix (k, k-1, ..., 2); with 256 bits and k up to 26 no order is
    likelier than another by more than 1 part in 2**167.
    """
    order = list(range(k))
    for last in range(k - 1, 0, -1):
        number, chosen = divmod(number, last + 1)
        order[last], order[chosen] = order[chosen], order[last]
    return order


def seeded_order(k: int, seed: int, question_id: str, permutation: int = 0) -> list[int]:
    """Return the order in which k choices are shown under a `seed`: position i shows choice ``order[i]``.

    `question_id` is that of permutation 0.  Permutation 0 is the seeded order and permutation ``i < k`` its
    rotation by i, so that the first k permutations show every choice once in every position.  Beyond these,
    permutation ``r * k + i`` rotates by i the order whose first choice is kept and whose others are in their
    r-th lexicographic arrangement; so ``range(k!)`` gives every order once, and every run of k that starts at
    a multiple of k is balanced over positions.

    Raises:
        UsageError: `permutation` is not below k!.

    >>> [seeded_order(3, 0, "moth-24/test/1#multiple-choice.0", each) for each in range(3)]
    [[2, 0, 1], [0, 1, 2], [1, 2, 0]]
    """
    order = shuffled(k, draw(seed, question_id))
    if permutation == 0:
        return order
    if not 0 < permutation < math.factorial(k):
        raise UsageError(
            f"{k} choices have {math.factorial(k)} orders; there is no permutation {permutation}.",
            hint=f"Ask for at most {math.factorial(k)} permutations.",
        )
    arrangement, rotation = divmod(permutation, k)
    if arrangement:
        order = [order[0], *(order[1 + each] for each in _arrangement(k - 1, arrangement))]
    return order[rotation:] + order[:rotation]


def _arrangement(n: int, rank: int) -> list[int]:
    """Return the permutation of ``range(n)`` at `rank` in lexicographic order (factorial number system)."""
    left = list(range(n))
    arranged = []
    for each in range(n - 1, -1, -1):
        index, rank = divmod(rank, math.factorial(each))
        arranged.append(left.pop(index))
    return arranged
