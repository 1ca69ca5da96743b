"""What a linear reader finds in features: logistic regression on standardised ones, chosen on validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Classes = NDArray[np.int64]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Inverse strengths of regularisation (scikit-learn's C) that are tried; the first of equally good ones is taken."""
MOST_STEPS = 1000
"""Of the solver (L-BFGS)."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A fitted probe at work on test features."""

    scores: Rows
    """Of each test picture and class, shape (pictures, classes); minus infinity for a class it was not fitted on."""
    strength: float
    validation: float
    """Accuracy on validation."""
    settled: bool
    """Whether the solver came to its end."""


def fit_linear(
    train: tuple[Rows, Classes], validation: tuple[Rows, Classes], test: Rows, classes: int, seed: int
) -> Linear:
    """Fit on train, choose on validation, score test.

    Args:
        train: features (pictures, dimensions) and class numbers.
        validation: likewise.
        test: features.
        classes: how many there are.
        seed: of the solver.

    Raises:
        ValueError: train holds a single class.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train[0])
    fitted, chosen, best = scaler.transform(train[0]), scaler.transform(validation[0]), -1.0
    kept: Any = None
    for strength in STRENGTHS:
        probe = LogisticRegression(C=strength, max_iter=MOST_STEPS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it did not settle is told in the figures
            probe.fit(fitted, train[1])
        accuracy = float((probe.predict(chosen) == validation[1]).mean())
        if accuracy > best:
            best, kept = accuracy, probe
    decided = kept.decision_function(scaler.transform(test))
    if decided.ndim == 1:  # of two classes
        decided = np.stack([-decided, decided], axis=1)
    scores = np.full((len(test), classes), -np.inf)
    scores[:, kept.classes_] = decided
    return Linear(scores, float(kept.C), best, bool((kept.n_iter_ < MOST_STEPS).all()))
