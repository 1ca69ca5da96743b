"""From similarities to options: what the miners that look at images share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fgvr_bench.errors import DataInvalid
from fgvr_bench.miners.rule import choose
from fgvr_bench.types import Example, Json, Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fgvr_bench.miners.embeddings import Embeddings

NAMED = 100
"""Unreadable images that a header names; all are counted."""


def similarities(rows: NDArray[np.floating[Any]], texts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return cosine similarities of unit-length rows and texts, shape (rows, texts).

    Summed in float64 and rounded to float32: so they do not depend on how many rows are taken together, and what
    is a tie in float32 is one on every machine.
    """
    import numpy as np

    return (rows.astype(np.float64) @ texts.T).astype(np.float32)


class Truths:
    """Finds the position of an example's label."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._index = {label: number for number, label in enumerate(labels)}

    def of(self, examples: Sequence[Example], start: int, stop: int) -> NDArray[np.int64]:
        """Return the positions of the labels of ``examples[start:stop]``.

        Raises:
            DataInvalid: a label that the dataset does not list.
        """
        import numpy as np

        found = np.empty(stop - start, np.int64)
        for place in range(stop - start):
            example = examples[start + place]
            number = self._index.get(example.label)
            if number is None:
                raise DataInvalid(f"{example.example_id} has label {example.label!r}, which the dataset does not list.")
            found[place] = number
        return found


def build_options(
    ids: Sequence[str],
    labels: Sequence[str],
    truth: NDArray[np.int64],
    scores: NDArray[np.float32],
    between_labels: NDArray[np.float32],
    k: int,
) -> Iterator[Options]:
    """Yield the options of some images.

    Args:
        ids: their example ids.
        labels: all labels.
        truth: shape (n,), position of the true label.
        scores: shape (n, labels); a row of NaN for an image that cannot be read.
        between_labels: shape (labels, labels): similarity of label texts, which stands in for an unreadable
            image, so that it keeps its question (and fails there); such options carry no similarities.
        k: choices.
    """
    import numpy as np

    blind: NDArray[np.bool_] = np.isnan(scores.sum(axis=1))
    seen = np.where(blind[:, None], between_labels[truth], scores)
    chosen = choose(seen, truth, k)
    for row, example_id in enumerate(ids):
        choices = tuple(labels[number] for number in chosen.choices[row])
        if blind[row]:
            yield Options(example_id, choices)
        else:
            values = tuple(chosen.similarities[row].tolist())
            yield Options(example_id, choices, values, int(chosen.rank[row]), float(chosen.margin[row]))


def unreadable_found(examples: Sequence[Example], embeddings: Embeddings) -> dict[str, Json]:
    """Return the count and names of the images that could not be read, for the header; nothing if there are none."""
    bad = embeddings.unreadable
    if not bad:
        return {}
    named: dict[str, Json] = {examples[index].example_id: bad[index] for index in sorted(bad)[:NAMED]}
    return {"unreadable": len(bad), "unreadable_images": named}
