"""Predictors that answer from the options alone, never seeing an image.

A question is a row of label numbers, the truth first (rows of fewer labels end with -1).  A predictor learns from
such rows and gives a score for every choice of others; that the truth stands first is no part of what it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows: TypeAlias = NDArray[np.int64]
    Scores: TypeAlias = NDArray[np.float64]
    Predictor: TypeAlias = Callable[[Rows, Rows, int], Scores]

SMOOTHING = 0.1
"""Added to every count of naive Bayes."""
FOLDS = 2
"""Parts of the learnt rows that take turns in being counted and being predicted."""
RIDGE = 1.0
"""Strength of the sparse model's penalty."""
STEPS, RATE = 40, 0.1
"""Steps and step length of the sparse model's training (Adam)."""


def naive_bayes(train: Rows, test: Rows, labels: int) -> Scores:
    """Score a choice t by ``log P(t) + sum over the other choices o of log P(o shown | truth t)``.

    Args:
        train: questions with their truths, shape (n, k).
        test: questions to score, shape (m, k).
        labels: number of labels.

    Returns:
        Shape (m, k); minus infinity where a row has no choice.
    """
    import numpy as np

    counts = _Counts(train, labels)
    pairs = _pairs(test)
    truth, other = test[:, :, None], test[:, None, :]
    chance = np.log((counts.shown[truth, other] + SMOOTHING) / (counts.truths[truth] + SMOOTHING * labels))
    scores: Scores = (chance * pairs).sum(axis=2) + np.log(counts.truths[test] + SMOOTHING)
    return np.where(test >= 0, scores, -np.inf)


def weighed_evidence(train: Rows, test: Rows, labels: int) -> Scores:
    """Score choices by a conditional logit over six kinds of evidence, each a sum over the other choices.

    How often the truth was t, and the others were shown with it; how often it was one of the others, with t
    shown; who of the two it was when both were shown; how often t is the truth when it is shown; and how often
    the two are shown together at all, in `test` as well (no truth is needed to know that).
    What the rows that it learns from show is counted in other folds of them, each class spread evenly: leaving
    out single rows would mark the truth by its count.
    """
    import numpy as np

    together = _together(np.concatenate([train, test]), labels)
    folds = _folds(train[:, 0])
    learnt = np.empty((*train.shape, 6))
    for fold in range(FOLDS):
        learnt[folds == fold] = _evidence(train[folds == fold], _Counts(train[folds != fold], labels), together)
    asked = _evidence(test, _Counts(train, labels), together)
    there = train >= 0
    mean, spread = learnt[there].mean(axis=0), learnt[there].std(axis=0)
    spread[spread == 0] = 1
    learnt = np.where(there[:, :, None], (learnt - mean) / spread, 0)
    weights = _conditional_logit(learnt, there)
    return np.where(test >= 0, ((asked - mean) / spread) @ weights, -np.inf)


def pairs_and_triples(train: Rows, test: Rows, labels: int) -> Scores:
    """Score choices by a conditional logit with a weight for every label, pair and triple that has t in it.

    Triples are left out where questions have more than six choices.
    """
    import numpy as np

    keys = _keys(train, labels)
    known = np.unique(keys)
    inverse: Rows = known.searchsorted(keys)
    there = train >= 0
    weights = np.zeros(len(known) + 1)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, STEPS + 1):
        error = _softmax(np.where(there, weights[inverse].sum(axis=2), -np.inf))
        error[:, 0] -= 1
        spread = np.repeat(error.ravel(), keys.shape[2])
        gradient = np.bincount(inverse.ravel(), spread, minlength=len(weights)) + RIDGE * weights
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        weights -= RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    weights[-1] = 0  # what was never seen says nothing
    asked = _keys(test, labels)
    place = np.minimum(known.searchsorted(asked), len(known) - 1)
    place[known[place] != asked] = len(known)
    return np.where(test >= 0, weights[place].sum(axis=2), -np.inf)


def strongest(train: Rows, test: Rows, labels: int) -> Scores:
    """Score choices by the evidence of `weighed_evidence` and half that of `pairs_and_triples`.

    The best found so far: on the published sets two to three points above naive Bayes.
    """
    import numpy as np

    evidence = _softmax(weighed_evidence(train, test, labels))
    memory = _softmax(pairs_and_triples(train, test, labels))
    with np.errstate(divide="ignore"):
        scores: Scores = np.log(evidence) + 0.5 * np.log(memory)
    return scores


class _Counts:
    """What is counted in questions whose truths are known."""

    def __init__(self, rows: Rows, labels: int) -> None:
        import numpy as np

        self.truths = np.bincount(rows[:, 0], minlength=labels).astype(float)
        """Shape (labels,): how often each is the truth."""
        self.members = np.bincount(rows[rows >= 0], minlength=labels).astype(float)
        """Shape (labels,): how often each is shown."""
        self.shown = np.zeros((labels, labels))
        """``shown[t, o]``: how often o is shown where t is the truth."""
        for column in range(1, rows.shape[1]):
            there = rows[:, column] >= 0
            np.add.at(self.shown, (rows[there, 0], rows[there, column]), 1)


def _together(rows: Rows, labels: int) -> Scores:
    """Return how often two labels are shown in one question, per question that shows the first."""
    import numpy as np

    table = np.zeros((labels, labels))
    for one in range(rows.shape[1]):
        for other in range(rows.shape[1]):
            there = (rows[:, one] >= 0) & (rows[:, other] >= 0) & (one != other)
            np.add.at(table, (rows[there, one], rows[there, other]), 1)
    shown = np.bincount(rows[rows >= 0], minlength=labels)
    return (table + 0.5) / (shown[:, None] + 0.5)


def _pairs(rows: Rows) -> NDArray[np.bool_]:
    """Return which (choice, other choice) there are, shape (n, k, k)."""
    import numpy as np

    there = rows >= 0
    pairs: NDArray[np.bool_] = there[:, :, None] & there[:, None, :] & ~np.eye(rows.shape[1], dtype=bool)
    return pairs


def _folds(truths: Rows) -> Rows:
    """Return a fold for each row, every class spread evenly over the folds."""
    import numpy as np

    order = np.argsort(truths, kind="stable")
    folds = np.empty(len(truths), np.int64)
    folds[order] = np.arange(len(truths)) % FOLDS
    return folds


def _evidence(rows: Rows, counts: _Counts, together: Scores) -> Scores:
    """Return the evidence for each choice, shape (n, k, 6)."""
    import numpy as np

    truth, other = rows[:, :, None], rows[:, None, :]
    labels = len(counts.truths)
    t_with_o, o_with_t = counts.shown[truth, other], counts.shown[other, truth]
    truths = counts.truths[rows]
    per_pair = [
        np.log((t_with_o + SMOOTHING) / (truths[:, :, None] + SMOOTHING * labels)),
        np.log((o_with_t + SMOOTHING) / (counts.truths[other] + SMOOTHING * labels)),
        np.log((t_with_o + 0.5) / (t_with_o + o_with_t + 1)),
        np.log(together[truth, other]),
    ]
    pairs = _pairs(rows)
    per_choice = [np.log(truths + 0.5), np.log((truths + 0.5) / (counts.members[rows] + 1))]
    return np.stack([*((each * pairs).sum(axis=2) for each in per_pair), *per_choice], axis=2)


def _conditional_logit(features: Scores, there: NDArray[np.bool_]) -> Scores:
    """Return the weights that make the first choices likeliest (Newton's method, slightly penalised)."""
    import numpy as np

    size = features.shape[2]
    weights = np.zeros(size)
    for _ in range(30):
        chance = _softmax(np.where(there, features @ weights, -np.inf))
        expected = np.einsum("nk,nkf->nf", chance, features)
        gradient = expected.sum(axis=0) - features[:, 0].sum(axis=0) + 0.01 * weights
        curvature = np.einsum("nk,nkf,nkg->fg", chance, features, features, optimize=True) - expected.T @ expected
        step = np.linalg.solve(curvature + 0.01 * np.eye(size), gradient)
        weights -= step * min(1.0, 5.0 / (np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _keys(rows: Rows, labels: int) -> Rows:
    """Return a number for each label, pair and triple of a choice t with others, shape (n, k, features)."""
    import numpy as np

    k, size = rows.shape[1], labels + 1  # a missing choice counts as a label of its own
    keys = []
    for column in range(k):
        truth = rows[:, column]
        others = np.sort(np.delete(rows, column, axis=1), axis=1) + 1
        mine = [truth]
        mine += [labels + truth * size + others[:, one] for one in range(k - 1)]
        if 3 <= k <= 6:
            mine += [
                labels + labels * size + (truth * size + others[:, one]) * size + others[:, two]
                for one in range(k - 1)
                for two in range(one + 1, k - 1)
            ]
        keys.append(np.stack(mine, axis=1))
    return np.stack(keys, axis=1)


def _softmax(scores: Scores) -> Scores:
    import numpy as np

    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances: Scores = powers / powers.sum(axis=1, keepdims=True)
    return chances
