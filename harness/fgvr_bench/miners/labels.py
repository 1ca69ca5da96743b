"""How similar labels are to each other: by their spelling, their texts in CLIP, their images, or a mined set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from fgvr_bench.core.option_files import OptionSet
from fgvr_bench.core.paths import at_home
from fgvr_bench.errors import OptionsInvalid, UsageError
from fgvr_bench.miners.embeddings import image_embeddings
from fgvr_bench.miners.encoder import Encoder, read_templates
from fgvr_bench.miners.rows import Truths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fgvr_bench.interfaces import Dataset, MiningSettings
    from fgvr_bench.types import Example, Json

SOURCES = ("text", "letters", "images", "set:FILE")
"""``by=`` of the miners that compare labels."""


def label_similarity(
    dataset: Dataset,
    examples: Sequence[Example],
    by: str,
    given: Mapping[str, str],
    settings: MiningSettings,
    progress: Callable[[int], None],
) -> NDArray[np.float64]:
    """Return the similarity of every two labels, shape (labels, labels), symmetric.

    Args:
        dataset: whose labels.
        examples: whose images, for ``images``.
        by: ``text`` (cosine of CLIP's text embeddings), ``letters`` (spelling; needs no model), ``images``
            (cosine of the mean CLIP embeddings of each class) or ``set:FILE`` (how often an option set shows
            the two together; a published set so stands in for images that are not at hand).
        given: the miner's settings ``model`` and ``template``.
        settings: device, batch size and workers.
        progress: told of images that are embedded.

    Raises:
        OptionsInvalid: the set has other labels.
    """
    labels = list(dataset.labels())
    if by == "letters":
        return spelling_similarity(labels)
    if by.startswith("set:"):
        return shown_together(OptionSet.load(at_home(by.removeprefix("set:"))), labels)
    encoder = Encoder(given["model"], settings.device)
    if by == "text":
        texts = encoder.labels(labels, read_templates(given["template"]))
        return texts @ texts.T
    means = _class_means(dataset, examples, encoder, settings, progress)
    return means @ means.T


def source_identity(given: Mapping[str, str], settings: MiningSettings) -> dict[str, Json]:
    """Return what `label_similarity` depends on, for a header.

    Raises:
        UsageError: no such source.
        OptionsInvalid: the set that is named cannot be read.
    """
    by = given["by"]
    if not by.startswith("set:") and by not in SOURCES:
        raise UsageError(f"labels cannot be compared by {by!r}.", hint=f"by= is one of {', '.join(SOURCES)}.")
    if by.startswith("set:"):
        return {"by": "set", "set": OptionSet.load(at_home(by.removeprefix("set:"))).digest}
    if by == "letters":
        return {"by": by}
    source: dict[str, Json] = {"by": by, "encoder": Encoder(given["model"], settings.device).declared}
    if by == "text":
        source["template"] = given["template"]
    return source


def spelling_similarity(labels: Sequence[str]) -> NDArray[np.float64]:
    """Return the cosine of the labels' letter trigrams, each weighted by how few labels have it.

    Case, underscores and punctuation do not count.
    """
    import numpy as np

    grams = [Counter(_trigrams(label)) for label in labels]
    spread = Counter(gram for each in grams for gram in each)
    columns = {gram: column for column, gram in enumerate(sorted(spread))}
    table = np.zeros((len(labels), len(columns)))
    for row, each in enumerate(grams):
        for gram, count in each.items():
            table[row, columns[gram]] = count * (1 + math.log(len(labels) / spread[gram]))
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return table @ table.T


def _trigrams(label: str) -> list[str]:
    plain = "".join(char if char.isalnum() else " " for char in label.casefold())
    padded = f"  {' '.join(plain.split())}  "
    return [padded[start : start + 3] for start in range(len(padded) - 2)]


def shown_together(options: OptionSet, labels: Sequence[str]) -> NDArray[np.float64]:
    """Return how often two labels stand in one question, per question that has either as its truth.

    Raises:
        OptionsInvalid: the set has other labels.
    """
    import numpy as np

    if set(options.labels) - set(labels):
        unknown = sorted(set(options.labels) - set(labels))[0]
        raise OptionsInvalid(f"{options.path} has a label {unknown!r} that is none of these.")
    place = [list(labels).index(label) for label in options.labels]
    together = np.zeros((len(labels), len(labels)))
    asked = np.ones(len(labels))
    for row in range(len(options)):
        truth, *others = (place[number] for number in options.choice_indices(row))
        asked[truth] += 1
        together[truth, others] += 1
    rate = together / asked[:, None]
    return (rate + rate.T) / 2


def _class_means(
    dataset: Dataset,
    examples: Sequence[Example],
    encoder: Encoder,
    settings: MiningSettings,
    progress: Callable[[int], None],
) -> NDArray[np.float64]:
    """Return each class's mean image embedding, unit length; zeros for a class without images."""
    import numpy as np

    embeddings = image_embeddings(dataset, examples, encoder, settings, progress)
    sums = np.zeros((len(dataset.labels()), embeddings.dimensions))
    truths = Truths(dataset.labels())
    for start, rows in embeddings.chunks():
        truth = truths.of(examples, start, start + len(rows))
        np.add.at(sums, truth, np.nan_to_num(rows.astype(np.float64)))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.where(lengths > 0, lengths, 1)
