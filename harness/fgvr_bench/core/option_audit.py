"""How much the options alone give away: image-blind predictors, cross-validated on an option set.

A set that holds what CLIP finds most similar to an image encodes the image.  A model that is tuned on such
questions can learn to read the set instead of the picture, so a set's figure belongs beside every accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgvr_bench.core import blind
from fgvr_bench.errors import OptionsInvalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fgvr_bench.core.blind import Predictor, Rows
    from fgvr_bench.core.option_files import OptionSet

MOST = 50_000
"""Questions that are looked at, drawn by lot where a set has more."""
SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Points of the learning curve: share of the questions that the predictor learns from."""
DRAWS = 5
"""Divisions that a point of the curve is the mean of."""
FEWEST = 20
"""Of fewer questions the smallest share of the learning curve would be none at all."""


@dataclass(frozen=True, slots=True)
class Blind:
    """What a predictor achieves without an image."""

    accuracy: float
    class_accuracy: float
    """Mean over classes; knowing which classes are frequent does not help here."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The figures of one option set."""

    questions: int
    chance: float
    """Accuracy of guessing: mean over questions of 1 / choices."""
    naive_bayes: Blind
    strongest: Blind
    permuted: Blind
    """The strongest predictor where the truth of each question was drawn by lot: has to be at chance."""
    curve: tuple[tuple[float, float], ...]
    """(share of questions learnt from, accuracy of the strongest on the others)."""

    def as_json(self) -> dict[str, Any]:
        """Return what a header holds: figures to 4 decimals."""

        def both(each: Blind) -> dict[str, float]:
            return {"accuracy": round(each.accuracy, 4), "mean_class_accuracy": round(each.class_accuracy, 4)}

        return {
            "version": 1,
            "questions": self.questions,
            "chance": round(self.chance, 4),
            "naive_bayes": both(self.naive_bayes),
            "strongest": both(self.strongest),
            "permuted": both(self.permuted),
            "learning_curve": [[share, round(accuracy, 4)] for share, accuracy in self.curve],
        }


def audit(options: OptionSet, seed: int = 0) -> Audit:
    """Audit an option set: each half of its questions is predicted from the other half.

    Raises:
        OptionsInvalid: too few questions to say anything.
    """
    return audit_rows(rows_of(options), seed)


def audit_rows(rows: Rows, seed: int = 0) -> Audit:
    """Audit questions given as label numbers, shape (n, k), the truth first, -1 where a row has fewer choices."""
    import numpy as np

    if len(rows) < FEWEST:
        raise OptionsInvalid(f"{len(rows)} questions are too few for an audit; it takes {FEWEST}.")
    generator = np.random.default_rng(seed)
    if len(rows) > MOST:
        rows = rows[np.sort(generator.choice(len(rows), MOST, replace=False))]
    return Audit(
        questions=len(rows),
        chance=float((1 / (rows >= 0).sum(axis=1)).mean()),
        naive_bayes=cross_validate(blind.naive_bayes, rows, seed),
        strongest=cross_validate(blind.strongest, rows, seed),
        permuted=cross_validate(blind.strongest, permute_truths(rows, seed), seed, evenly=False),
        curve=learning_curve(blind.strongest, rows, seed),
    )


def image_blind_accuracy(rows: Rows, seed: int = 0) -> float:
    """Return the accuracy of naive Bayes over the other choices, fitted on one half and tested on the other.

    Args:
        rows: label numbers, shape (n, k), the truth first.
        seed: of the division into halves, by lot alone; both directions are taken.
    """
    return cross_validate(blind.naive_bayes, rows, seed, evenly=False).accuracy


def cross_validate(predictor: Predictor, rows: Rows, seed: int = 0, evenly: bool = True) -> Blind:
    """Return what a predictor achieves on each half of the questions after learning from the other.

    ``evenly`` gives each half the same share of every class (see `divide`).  Truths that were drawn by lot have
    to be divided by lot too: equal shares would carry the luck of the draw from one half to the other.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    if evenly:
        halves = divide(rows[:, 0], 0.5, generator)
    else:
        order = generator.permutation(len(rows))
        halves = order[: len(rows) // 2], order[len(rows) // 2 :]
    right = np.empty(len(rows))
    for learnt, asked in (halves, halves[::-1]):
        right[asked] = _right(predictor, rows, learnt, asked)
    per_class = np.bincount(rows[:, 0], right) / np.maximum(np.bincount(rows[:, 0]), 1)
    return Blind(float(right.mean()), float(per_class[np.unique(rows[:, 0])].mean()))


def learning_curve(predictor: Predictor, rows: Rows, seed: int = 0) -> tuple[tuple[float, float], ...]:
    """Return (share, accuracy) for `SHARES`: learnt from that share of the questions, tested on all others.

    Each point is the mean over `DRAWS` divisions.
    """
    import numpy as np

    found: dict[float, list[float]] = {share: [] for share in SHARES}
    for draw in range(DRAWS):
        for share in SHARES:
            learnt, asked = divide(rows[:, 0], share, np.random.default_rng([seed, draw]))
            found[share].append(float(_right(predictor, rows, learnt, asked).mean()))
    return tuple((share, sum(each) / DRAWS) for share, each in found.items())


def divide(truths: Rows, share: float, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Divide questions by lot into those to learn from and the others, every class in the same proportion.

    Otherwise a class that is rarer among the ones would be commoner among the others, and a predictor could
    learn that from data of evenly spread classes, where there is nothing to learn.
    """
    import numpy as np

    order = np.lexsort((generator.random(len(truths)), truths))
    steps = np.floor(np.arange(len(truths) + 1) * share + generator.random())
    learnt = np.diff(steps) > 0
    return order[learnt], order[~learnt]


def permute_truths(rows: Rows, seed: int = 0) -> Rows:
    """Return the questions with another choice, drawn by lot, in the place of the truth: the control."""
    import numpy as np

    generator = np.random.default_rng(seed + 2)
    drawn = (generator.random(len(rows)) * (rows >= 0).sum(axis=1)).astype(int)
    permuted = rows.copy()
    line = np.arange(len(rows))
    permuted[:, 0], permuted[line, drawn] = rows[line, drawn], rows[:, 0]
    return permuted


def rows_of(options: OptionSet) -> Rows:
    """Return an option set as label numbers, shape (questions, most choices), the truth first, filled with -1."""
    import numpy as np

    choices = [options.choice_indices(row) for row in range(len(options))]
    rows = np.full((len(choices), max(map(len, choices), default=0)), -1, np.int64)
    for row, numbers in enumerate(choices):
        rows[row, : len(numbers)] = numbers
    return rows


def _right(predictor: Predictor, rows: Rows, learnt: Rows, asked: Rows) -> NDArray[np.float64]:
    """Return 1 for each question answered rightly; a tie of m choices counts 1/m where the truth is among them."""
    import numpy as np

    scores = predictor(rows[learnt], rows[asked], int(rows.max()) + 1)
    best = np.isclose(scores, scores.max(axis=1, keepdims=True), rtol=0, atol=1e-9)
    share: NDArray[np.float64] = best[:, 0] / best.sum(axis=1)
    return share
