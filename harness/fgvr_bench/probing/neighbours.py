"""What the neighbourhoods of features hold: nearest neighbours, and retrieval.

Features are compared by cosine, after the mean of the train features was taken off: features of pictures all point
into one direction by much, which says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Classes = NDArray[np.int64]

NEIGHBOURS = (1, 5, 10, 20, 50)
"""Numbers of neighbours that are tried on validation; the first of equally good ones is taken."""
AT_ONCE = 512
"""Pictures compared with all others at once."""


def directions(rows: Rows, mean: Rows) -> Rows:
    """Return rows of unit length, `mean` taken off before."""
    import numpy as np

    moved = rows - mean
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    unit: Rows = moved / np.where(lengths > 0, lengths, 1.0)
    return unit


@dataclass(frozen=True, slots=True)
class Voted:
    """What nearest neighbours say of test pictures."""

    classes: Classes
    k: int
    validation: float
    """Accuracy on validation with as many neighbours."""


def choose_and_vote(train: tuple[Rows, Classes], validation: tuple[Rows, Classes], test: Rows, classes: int) -> Voted:
    """Choose the number of neighbours on validation, and let as many vote on test; all rows are unit rows."""
    best, k = max(
        (float((answers == validation[1]).mean()), -k) for k, answers in vote(train, validation[0], classes, NEIGHBOURS)
    )
    ((_, answers),) = vote(train, test, classes, (-k,))
    return Voted(answers, -k, best)


def vote(
    train: tuple[Rows, Classes], queries: Rows, classes: int, numbers: tuple[int, ...]
) -> Iterator[tuple[int, Classes]]:
    """Yield for each number of neighbours that there are the class that most of a query's neighbours are of.

    Of equally many votes those of nearer neighbours count more.

    Args:
        train: unit rows and their class numbers.
        queries: unit rows.
        classes: how many there are.
        numbers: of neighbours, rising.
    """
    import numpy as np

    kept = [k for k in numbers if k <= len(train[0])]
    found = {k: np.empty(len(queries), np.int64) for k in kept}
    for start in range(0, len(queries), AT_ONCE):
        near = np.argsort(-(queries[start : start + AT_ONCE] @ train[0].T), axis=1, kind="stable")[:, : kept[-1]]
        labels = train[1][near]
        for k in kept:
            votes = np.zeros((len(labels), classes))
            for place in range(k):
                votes[np.arange(len(labels)), labels[:, place]] += 1 + 1e-6 * (k - place)
            found[k][start : start + AT_ONCE] = votes.argmax(axis=1)
    yield from found.items()


def retrieve(rows: Rows, labels: Classes) -> tuple[Rows, Rows]:
    """Let every picture retrieve the others: return average precision and whether the nearest is of its class.

    Average precision is the mean, over the pictures of the query's class, of precision at their ranks.  NaN for a
    picture that is alone in its class.

    Args:
        rows: unit rows.
        labels: class numbers.
    """
    import numpy as np

    precision, first = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for start in range(0, len(rows), AT_ONCE):
        near = rows[start : start + AT_ONCE] @ rows.T
        own = np.arange(len(near))
        near[own, start + own] = -np.inf
        ranked = labels[np.argsort(-near, axis=1, kind="stable")[:, :-1]]  # a picture itself comes last
        right = ranked == labels[start : start + len(near), None]
        count = right.sum(axis=1)
        precise = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
        with np.errstate(invalid="ignore"):
            precision[start : start + len(near)] = (precise * right).sum(axis=1) / count
        if right.shape[1]:
            first[start : start + len(near)] = np.where(count > 0, right[:, 0], np.nan)
    return precision, first
