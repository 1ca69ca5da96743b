"""Pictures, names and descriptions in the language model's space: do they lie where they belong?

An embedding is the state at an end-of-text token (`engines.huggingface.features`, kind ``language-end``), as stage I of
Finedefics reads it (arXiv 2501.15140, section 3.3) and HACL before it (arXiv 2312.06968).  Distances are 1 - cosine.
Where it says centred, the mean of each kind (pictures: of the train split) was taken off first: a gap between kinds
alone would else decide what is near.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fgvr_bench.core.statistics import clustered_interval
from fgvr_bench.probing.neighbours import directions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Classes = NDArray[np.int64]
    Groups = NDArray[np.int64]


def share(right: Any, clusters: Classes) -> dict[str, Any]:
    """Return a share with its 95 % interval, clustered by class; entries of NaN are left out."""
    import numpy as np

    values = np.asarray(right, np.float64)
    known = np.isfinite(values)
    if not known.any():
        return {"value": None, "interval": None, "count": 0}
    interval = clustered_interval(values[known], clusters[known])
    return {
        "value": _rounded(values[known].mean()),
        "interval": [_rounded(interval.low), _rounded(interval.high)],
        "count": int(known.sum()),
    }


def nearest(scores: Rows, own: Classes, siblings: Groups | None) -> dict[str, Any]:
    """Return how often the highest score is the own class's: among all, and among siblings.

    Args:
        scores: shape (rows, classes).
        own: the class of each row.
        siblings: a number for the group of each class; None where no ranks are known.
    """
    import numpy as np

    found = {"accuracy": share(scores.argmax(axis=1) == own, own)}
    if siblings is not None:
        among = np.where(siblings[None, :] == siblings[own][:, None], scores, -np.inf)
        found["among siblings"] = share(among.argmax(axis=1) == own, own)
    return found


def knowledge(names: Rows, descriptions: Rows, siblings: Groups | None) -> dict[str, Any]:
    """Return whether a description retrieves its name: recall at 1 and reciprocal rank, as they are and centred."""
    import numpy as np

    own = np.arange(len(names))
    found: dict[str, Any] = {}
    for how, (texts, labels) in _both_ways(descriptions, names).items():
        scores = texts @ labels.T
        ranks = (scores > scores[own, own][:, None]).sum(axis=1) + 1
        found[how] = {**nearest(scores, own, siblings), "reciprocal rank": share(1 / ranks, own)}
    return found


def alignment(pictures: Rows, own: Classes, texts: Rows, mean: Rows, siblings: Groups | None) -> dict[str, Any]:
    """Return how pictures lie to the texts of their classes.

    Args:
        pictures: embeddings of test pictures.
        own: their classes.
        texts: an embedding a class, of its name or of its description.
        mean: of the embeddings of train pictures.
        siblings: a number for the group of each class, or None.
    """
    import numpy as np

    found: dict[str, Any] = {}
    for how, (seen, said) in _both_ways(pictures, texts, mean).items():
        scores = seen @ said.T
        matching = scores[np.arange(len(own)), own]
        others = (scores.sum(axis=1) - matching) / max(1, scores.shape[1] - 1)
        found[how] = {
            **nearest(scores, own, siblings),
            "distance to own": _rounded((1 - matching).mean()),
            "distance to others": _rounded((1 - others).mean()),
            "gap": _rounded(np.linalg.norm(seen.mean(axis=0) - said.mean(axis=0))),
        }
    return found


def spread(pictures: Rows, own: Classes) -> dict[str, Any]:
    """Return the mean distance of two pictures of one class, of two of different classes, and their quotient."""
    import numpy as np

    rows = directions(pictures, np.zeros(pictures.shape[1]))
    sums = np.zeros((int(own.max()) + 1, rows.shape[1]))
    np.add.at(sums, own, rows)
    sizes = np.bincount(own, minlength=len(sums))
    inside = float((sums**2).sum() - (rows**2).sum())  # cosines of all ordered pairs within classes
    pairs = int((sizes * (sizes - 1)).sum())
    across = float((sums.sum(axis=0) ** 2).sum() - (sums**2).sum())
    crossing = len(rows) ** 2 - int((sizes**2).sum())
    within = 1 - inside / pairs if pairs else None
    between = 1 - across / crossing if crossing else None
    return {
        "within classes": _rounded(within),
        "between classes": _rounded(between),
        "within / between": _rounded(within / between) if within is not None and between else None,
    }


def _both_ways(one: Rows, other: Rows, mean: Rows | None = None) -> dict[str, tuple[Rows, Rows]]:
    import numpy as np

    nothing = np.zeros(one.shape[1])
    middle = one.mean(axis=0) if mean is None else mean
    return {
        "as they are": (directions(one, nothing), directions(other, nothing)),
        "centred": (directions(one, middle), directions(other, other.mean(axis=0))),
    }


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)
