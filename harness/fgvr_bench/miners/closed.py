"""Option sets that give nothing away: the classes are parted into groups, and a question stays within one.

A mined set (the labels most similar to an image) names its own truth to whoever knows which sets go with which
class.  Here every class of a group is asked with the others of its group.  Where a group is larger than k, each
question shows k - 1 of the others by lot: any k members are then equally likely whichever of them is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING

from fgvr_bench.interfaces import Dataset, MiningSettings, OptionMiner
from fgvr_bench.miners.encoder import DEFAULT_TEMPLATE, default_checkpoint
from fgvr_bench.miners.random import draw
from fgvr_bench.miners.settings import take_settings
from fgvr_bench.types import Example, Json, Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ClosedMiner(OptionMiner):
    """The truth and others of its group of similar classes."""

    name = "closed"

    def _settings(self, dataset: Dataset, settings: MiningSettings) -> dict[str, str]:
        defaults = {"by": "text", "model": default_checkpoint(dataset)[0], "template": DEFAULT_TEMPLATE}
        return take_settings(settings, self.name, defaults)

    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Json]:
        """Return what the classes are grouped by."""
        from fgvr_bench.miners.labels import source_identity

        given = self._settings(dataset, settings)
        return {
            "rule": "closed-1: k members of the truth's group, the most similar to the truth last",
            **source_identity(given, settings),
        }

    def mine(
        self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Callable[[int], None]
    ) -> Generator[Options, None, Mapping[str, Json]]:
        """Yield the options of each example; return the groups."""
        from fgvr_bench.miners.labels import label_similarity

        given = self._settings(dataset, settings)
        labels = list(dataset.labels())
        similarity = label_similarity(dataset, examples, given["by"], given, settings, lambda n: None)
        groups = [[labels[number] for number in group] for group in partition(similarity, settings.k)]
        mates = {label: group for group in groups for label in group}
        place = {label: number for number, label in enumerate(labels)}
        for index in range(len(examples)):
            example = examples[index]
            seed = f"{settings.seed}/{example.example_id}"
            others = draw(seed, mates[example.label], example.label, settings.k - 1)
            nearness = similarity[place[example.label]]
            others.sort(key=lambda label: (nearness[place[label]], -place[label]))
            yield Options(example.example_id, (example.label, *others))
            progress(1)
        listed: list[Json] = [list(group) for group in groups]
        return {"groups": listed}


def group_sizes(labels: int, k: int) -> list[int]:
    """Return the sizes of ``labels // k`` groups, as even as can be, none below k (one group where labels < 2 k).

    >>> group_sizes(102, 4)[:3], sum(group_sizes(102, 4))
    ([5, 5, 4], 102)
    """
    groups = max(1, labels // k)
    return [labels // groups + (number < labels % groups) for number in range(groups)]


def partition(similarity: NDArray[np.float64], k: int) -> list[list[int]]:
    """Part the labels into groups of at least k with much similarity within.

    Groups are grown greedily from the most similar pairs; then labels change places, or move from a group to a
    smaller one, as long as the sum of similarities within groups rises.

    Args:
        similarity: shape (labels, labels), symmetric.
        k: choices a question.

    Returns:
        Positions of labels, rising within a group; groups in the order of their first label.
    """
    import numpy as np

    affinity = np.array(similarity, np.float64)
    np.fill_diagonal(affinity, 0)
    group = _grow(affinity, group_sizes(len(affinity), k))
    while _improve(affinity, group):
        pass
    members = [np.flatnonzero(group == number).tolist() for number in range(int(group.max()) + 1)]
    return sorted(members)


def _grow(affinity: NDArray[np.float64], sizes: list[int]) -> NDArray[np.int64]:
    import numpy as np

    count = len(affinity)
    group = np.full(count, -1, np.int64)
    free = np.ones(count, bool)
    for number, size in enumerate(sizes):
        pairs = np.where(free[:, None] & free[None, :] & ~np.eye(count, dtype=bool), affinity, -np.inf)
        first = int(pairs.max(axis=1).argmax())
        members = [first]
        free[first] = False
        while len(members) < size:
            best = int(np.where(free, affinity[members].sum(axis=0), -np.inf).argmax())
            members.append(best)
            free[best] = False
        group[members] = number
    return group


def _improve(affinity: NDArray[np.float64], group: NDArray[np.int64]) -> bool:
    """Make the best exchange or move in place; say whether there was one."""
    import numpy as np

    count, groups = len(affinity), int(group.max()) + 1
    belongs = np.zeros((count, groups))
    belongs[np.arange(count), group] = 1
    to_group = affinity @ belongs
    own = to_group[np.arange(count), group]
    elsewhere = to_group[:, group]
    gain = elsewhere + elsewhere.T - own[:, None] - own[None, :] - 2 * affinity
    gain[group[:, None] == group[None, :]] = -np.inf
    swap = int(gain.argmax())
    sizes = np.bincount(group)
    move = np.where(sizes[None, :] < sizes[group][:, None], to_group - own[:, None], -np.inf)
    shift = int(move.argmax())
    tolerance = 1e-9
    if max(gain.flat[swap], move.flat[shift]) <= tolerance:
        return False
    if gain.flat[swap] >= move.flat[shift]:
        one, other = divmod(swap, count)
        group[one], group[other] = group[other], group[one]
    else:
        group[shift // groups] = shift % groups
    return True
