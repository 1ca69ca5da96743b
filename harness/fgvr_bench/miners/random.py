"""Wrong answers drawn by lot: the control that shows what mining adds."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from fgvr_bench.interfaces import Dataset, MiningSettings, OptionMiner
from fgvr_bench.miners.settings import take_settings
from fgvr_bench.types import Example, Json, Options


class RandomMiner(OptionMiner):
    """k - 1 wrong labels, each set of them equally likely; drawn for (seed, example_id) alone."""

    name = "random"

    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Json]:
        """Return the version of the drawing."""
        take_settings(settings, self.name, {})
        return {"rule": "random-1"}

    def mine(
        self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Callable[[int], None]
    ) -> Iterator[Options]:
        """Yield the truth and k - 1 others (all labels where there are fewer than k)."""
        labels = list(dataset.labels())
        for index in range(len(examples)):
            example = examples[index]
            others = draw(f"{settings.seed}/{example.example_id}", labels, example.label, settings.k - 1)
            yield Options(example.example_id, (example.label, *others))
            progress(1)


def draw(seed: str, labels: Sequence[str], truth: str, count: int) -> list[str]:
    """Draw `count` labels other than `truth` without replacement, the same on every machine and version.

    >>> draw("0/demo/test/1", ["a", "b", "c"], "b", 5) in (["a", "c"], ["c", "a"])
    True
    """
    # of Python's generator only random() is promised to give the same numbers in every version
    generator = random.Random(hashlib.sha256(seed.encode()).digest())  # noqa: S311 - no secret
    pool = [label for label in labels if label != truth]
    for drawn in range(min(count, len(pool))):
        other = drawn + int(generator.random() * (len(pool) - drawn))
        pool[drawn], pool[other] = pool[other], pool[drawn]
    return pool[:count]
