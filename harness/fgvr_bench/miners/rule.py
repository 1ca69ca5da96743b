"""The rule of the reference, pure: which wrong labels stand beside the truth, and how hard the question is.

FOCI-Benchmark (arXiv 2406.14496): the k labels most similar to the image; where the truth is not among them it
takes the place of the weakest.  That is the truth and the k - 1 most similar wrong labels.  The truth is
written first, the others in ascending similarity, the hardest last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TIE_RULE = "of labels with equal similarity the one that comes first in the label list counts as more similar"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The choices of n images."""

    choices: NDArray[np.int64]
    """Shape (n, min(k, labels)): positions of labels, the truth first, then ascending similarity."""
    similarities: NDArray[np.floating[Any]]
    """Of the same shape: similarity of image and choice."""
    rank: NDArray[np.int64]
    """Shape (n,): rank of the truth among all labels, 1 = most similar."""
    margin: NDArray[np.floating[Any]]
    """Shape (n,): similarity of the truth minus that of the most similar wrong label."""


def choose(similarities: NDArray[np.floating[Any]], truth: NDArray[np.integer[Any]], k: int) -> Chosen:
    """Choose the options of n images; ties are broken by `TIE_RULE`.

    Args:
        similarities: shape (n, labels), finite, at least two labels.
        truth: shape (n,), position of the true label.
        k: choices wanted; all labels are taken where there are fewer.
    """
    import numpy as np

    count, labels = similarities.shape
    rows = np.arange(count)
    own = similarities[rows, truth]
    left = similarities.copy()
    left[rows, truth] = -np.inf
    wrong = min(k, labels) - 1
    choices = np.empty((count, wrong + 1), np.int64)
    choices[:, 0] = truth
    for place in range(wrong):  # argmax gives the first of equals: the tie rule
        best = left.argmax(axis=1)
        choices[:, wrong - place] = best
        left[rows, best] = -np.inf
    chosen = np.take_along_axis(similarities, choices, axis=1)
    earlier = np.arange(labels)[None, :] < truth[:, None]
    ahead = (similarities > own[:, None]) | ((similarities == own[:, None]) & earlier)
    return Chosen(choices, chosen, 1 + ahead.sum(axis=1), own - chosen[:, -1])


def gaps(similarities: NDArray[np.floating[Any]], truth: NDArray[np.integer[Any]], k: int) -> NDArray[np.float64]:
    """Return the smallest distance, for each image, that decides its choices or their order.

    These are the distances between neighbours among the k most similar wrong labels: an error of the difference
    of two similarities below that distance changes nothing that `choose` returns as choices.
    Infinite where there is only one wrong label.
    """
    import numpy as np

    left = similarities.astype(np.float64)
    left[np.arange(len(left)), truth] = -np.inf
    wrong = left.shape[1] - 1
    top = min(k, wrong)
    if top < 2:
        return np.full(len(left), np.inf)
    best = np.sort(np.partition(left, wrong + 1 - top, axis=1)[:, -top:], axis=1)
    smallest: NDArray[np.float64] = np.diff(best, axis=1).min(axis=1)
    return smallest
