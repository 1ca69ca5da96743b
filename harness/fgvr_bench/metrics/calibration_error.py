"""Calibration error of the choices' probabilities (ECE): how far confidence is from accuracy.

Log-probabilities are normalised over the choices; the confidence of an answer is the largest.  Answers fall into
15 bins of equal width; the error is the mean over bins, by their size, of |accuracy - mean confidence| (Guo et al.,
2017, "On calibration of modern neural networks", eq. 3).
"""

from __future__ import annotations

from math import exp

from fgvr_bench.interfaces import Metric, Scored
from fgvr_bench.types import ScoreKind

BINS = 15


class CalibrationError:
    """Adds up confidence and right answers in each bin."""

    __slots__ = ("_bins",)

    def __init__(self) -> None:
        self._bins = [[0, 0, 0.0] for _ in range(BINS)]

    def add(self, scored: Scored) -> None:
        """Take one judged response in; only log-probabilities count."""
        response = scored.response
        if response.score_kind is not ScoreKind.LOGPROB or not response.scores:
            return
        highest = max(response.scores)
        confidence = 1 / sum([exp(score - highest) for score in response.scores])
        if not confidence > 0:
            return
        bin_ = self._bins[min(int(confidence * BINS), BINS - 1)]
        bin_[0] += 1
        bin_[1] += scored.answer.correct
        bin_[2] += confidence

    def result(self) -> float | None:
        """Return the error, 0 to 1; None where there are no log-probabilities."""
        count = sum(bin_[0] for bin_ in self._bins)
        return sum(abs(bin_[1] - bin_[2]) for bin_ in self._bins) / count if count else None


METRIC = Metric("calibration-error", "Calibration error (ECE)", CalibrationError, higher_is_better=False)
