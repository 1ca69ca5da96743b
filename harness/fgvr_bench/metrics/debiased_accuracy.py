"""Debiased accuracy: each example is answered once, by all its orders together.

With log-probabilities the label's mean over the orders decides (each label stands in each place once if the orders
are the rotations, so a preference for a letter cancels; Zheng et al., 2024, "Large language models are not robust
multiple choice selectors", sec. 4); without them the label that most orders gave.  A tie is wrong.
"""

from __future__ import annotations

from collections import defaultdict

from fgvr_bench.interfaces import Metric, Scored
from fgvr_bench.metrics._orders import OrdersOfOne, label_given


class DebiasedAccuracy(OrdersOfOne):
    """Counts examples whose orders give the truth together."""

    __slots__ = ("_correct", "_count")

    def __init__(self) -> None:
        super().__init__()
        self._correct = 0
        self._count = 0

    def take(self, orders: list[Scored]) -> None:
        """Count one example."""
        votes: defaultdict[str, float] = defaultdict(float)
        if all(scored.response.scores is not None for scored in orders):
            for scored in orders:
                for label, score in zip(scored.question.choices, scored.response.scores or (), strict=False):
                    votes[label] += score
        else:
            for scored in orders:
                given = label_given(scored)
                if given is not None:
                    votes[given] += 1
        question = orders[0].question
        truth = question.choices[question.target or 0]
        self._count += 1
        self._correct += truth in votes and all(votes[truth] > vote for label, vote in votes.items() if label != truth)

    def figure(self) -> float | None:
        """Return the share."""
        return self._correct / self._count


METRIC = Metric("debiased-accuracy", "Accuracy of all orders together", DebiasedAccuracy)
