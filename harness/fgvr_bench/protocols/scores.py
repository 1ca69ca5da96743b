"""Reading a choice off scores: the highest one, or none where there is no single highest."""

from __future__ import annotations

from fgvr_bench.types import Reading

__all__ = ["read_scores"]

DECIMALS = 6
"""Scores are compared as they are stored, so that scoring again gives the same verdict."""


def read_scores(scores: tuple[float, ...], choices: int) -> Reading:
    """Return the index of the highest score after rounding to `DECIMALS`.

    None where two are highest (``tie``), where one is not a number or none is above minus infinity (``nan``),
    or where there are not as many scores as choices (``score-count``).

    >>> read_scores((-2.0, -0.5, -3.0), 3)
    Reading(choice=1, rule='scores')
    """
    if len(scores) != choices or not scores:
        return Reading(None, "score-count")
    best, index, ties = -float("inf"), -1, 0
    for position, score in enumerate(scores):
        if score != score:
            return Reading(None, "nan")
        rounded = round(score, DECIMALS) if -1e9 < score < 1e9 else score
        if rounded > best:
            best, index, ties = rounded, position, 1
        elif rounded == best:
            ties += 1
    if index < 0:
        return Reading(None, "nan")
    return Reading(index, "scores") if ties == 1 else Reading(None, "tie")
