"""Right answers of many runs by class, on disk: some runs' are in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.scratch import NumberRows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Places = NDArray[np.int64]

BLOCK = 128
"""Runs that are in memory at once, and are held against as many others."""


@dataclass(frozen=True, slots=True)
class Tallies:
    """Some runs' answers in one column, or in several that count as one."""

    sizes: Numbers
    """Questions of each class, shape (classes,)."""
    parts: tuple[tuple[NumberRows, NumberRows, Places], ...]
    """Of each column: right answers by class, packed bits of the answers, and where in these each run stands."""

    def __len__(self) -> int:
        return len(self.parts[0][2])

    def counts(self, runs: Places) -> NDArray[Any]:
        """Return right answers, shape (runs, classes), in the smallest type of whole numbers that holds them."""
        import numpy as np

        return np.concatenate([counts[places[runs]] for counts, _, places in self.parts], axis=1)

    def bits(self, runs: Places) -> list[bytes]:
        """Return the packed bits of some runs' answers; each column's are filled up to whole bytes."""
        import numpy as np

        found = np.concatenate([bits[places[runs]] for _, bits, places in self.parts], axis=1)
        return [row.tobytes() for row in found]

    def of(self, runs: Places) -> Tallies:
        """Return those of some of the runs."""
        return Tallies(self.sizes, tuple((counts, bits, places[runs]) for counts, bits, places in self.parts))

    def differing(self, one: int, other: int) -> int:
        """Return how many questions only one of two runs answers rightly."""
        import numpy as np

        first, second = map(int.from_bytes, self.bits(np.array([one, other])))
        return (first ^ second).bit_count()


def tally(bits: Iterable[bytes], clusters: NDArray[np.int32]) -> Tallies:
    """Count right answers by class.

    Args:
        bits: a bit an answer of each run, as `numpy.packbits` packs them.
        clusters: number of each question's class, counted from 0.
    """
    import numpy as np

    sizes = np.bincount(clusters)
    counts = NumberRows(len(sizes), np.min_scalar_type(int(sizes.max())))
    answers = NumberRows(-(-len(clusters) // 8), np.uint8)
    for packed in bits:
        own = np.frombuffer(packed, np.uint8)
        correct = np.unpackbits(own, count=len(clusters))
        counts.add(np.bincount(clusters, correct, minlength=len(sizes)))
        answers.add(own)
    return Tallies(sizes.astype(np.float64), ((counts, answers, np.arange(len(counts))),))


def together(columns: Sequence[Tallies]) -> Tallies:
    """Return the tallies of the same runs in several columns as those of one."""
    import numpy as np

    return Tallies(np.concatenate([each.sizes for each in columns]), sum((each.parts for each in columns), ()))


def runs_of(count: int, start: int = 0) -> Iterator[Places]:
    """Yield the numbers from `start` to `count`, up to `BLOCK` at once."""
    import numpy as np

    for begin in range(start, count, BLOCK):
        yield np.arange(begin, min(begin + BLOCK, count))
