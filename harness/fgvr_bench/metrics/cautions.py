"""Sentences to stand beside a figure that lies: what a reader has to know before believing it."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

MOST_UNPARSED = 0.05
MOST_OF_ONE_ANSWER = 0.5
MOST_FAILED = 0.01
MOST_TRUNCATED = 0.05

ABOVE_CHANCE = 1.645
"""Standard errors above chance below which accuracy may be luck (one-sided, 5 %)."""


def cautions(metrics: Mapping[str, float | None], questions: int) -> list[str]:
    """Return what is wrong with a run's figures, a sentence each; none where nothing is.

    Args:
        metrics: a run's figures by name (see the tasks' ``metrics``); absent ones are not looked at.
        questions: how many were asked.

    >>> cautions({"accuracy": 0.26, "chance": 0.25, "unparsed": 0.0}, 200)
    ['Accuracy (26.0 %) cannot be told from chance (25.0 %) by 200 questions.']
    """
    said = []
    accuracy, chance = metrics.get("accuracy"), metrics.get("chance")
    if accuracy is not None and chance is not None and questions > 0:
        margin = ABOVE_CHANCE * sqrt(chance * (1 - chance) / questions)
        if accuracy <= chance + margin:
            many = f"{questions:,} question{'s' if questions > 1 else ''}"
            said.append(
                f"Accuracy ({_percent(accuracy)}) is below chance ({_percent(chance)})."
                if accuracy < chance - margin
                else f"Accuracy ({_percent(accuracy)}) cannot be told from chance ({_percent(chance)}) by {many}."
            )
    top = metrics.get("top-answer")
    if top is not None and chance is not None and chance <= 1 / 3 and top > MOST_OF_ONE_ANSWER:
        said.append(f"One letter was given in {_percent(top)} of the answers.")
    limits = (
        ("unparsed", MOST_UNPARSED, "of the answers give no single choice and count as wrong"),
        ("failed", MOST_FAILED, "of the questions got no answer and count as wrong"),
        ("truncated", MOST_TRUNCATED, "of the answers were cut off at the token limit"),
    )
    for name, most, what in limits:
        share = metrics.get(name)
        if share is not None and share > most:
            said.append(f"{_percent(share)} {what}.")
    return said


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
