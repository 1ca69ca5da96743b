"""The one order in which a run asks its questions, and the batches that follow from it.

Fixed at the start by the questions, the seed and the batch size; resume, workers and processes follow it,
so that each batch holds the same questions, padded alike, however often a run was killed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from fgvr_bench.core.likeness import pixels_and_letters
from fgvr_bench.types import Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULE = "stratified-1"
"""Name of the rule below; part of a run's identity, so a new rule needs a new name."""


TOGETHER = "alike-1"
"""Name of the rule of `together`; a part of the identity of runs of models that want it."""
WINDOW = 64
"""Batches at most among which questions are sorted by likeness."""
PIXELS_OF_A_LETTER = 50
"""What a letter of text costs, in pixels: a token is about four letters, or a patch of 14 by 14."""


def _hash64(*parts: object) -> int:
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def stratified_order(examples: Sequence[Example], seed: int) -> NDArray[np.int32]:
    """Return the indices of `examples` in an order whose every prefix holds the classes in proportion.

    Within a class the order is that of a seeded hash of the id.  The i-th of a class's n images stands at
    (i + u) / n of the way, u in [0, 1) hashed from the class: systematic sampling, so the counts of any
    prefix differ from exact proportion by less than one image a class.

    Returns:
        int32 array of shape [len(examples)], a permutation.
    """
    import numpy as np

    count = len(examples)
    hashes = np.empty(count, np.uint64)
    classes = np.empty(count, np.int32)
    numbers: dict[str, int] = {}
    for index in range(count):
        example = examples[index]
        hashes[index] = _hash64(seed, example.example_id)
        classes[index] = numbers.setdefault(example.label, len(numbers))
    sizes = np.bincount(classes, minlength=len(numbers))
    offsets = np.array([_hash64(seed, "class", label) / 2**64 for label in numbers])
    by_class = np.lexsort((hashes, classes)).astype(np.int32)  # narrow types: this is a run's peak of memory
    starts = (np.cumsum(sizes) - sizes).astype(np.int32)
    place: NDArray[np.float64] = np.empty(count, np.float64)
    place[by_class] = np.arange(count, dtype=np.int32) - np.repeat(starts, sizes)
    del by_class
    place = np.divide(place + offsets[classes], sizes[classes])
    order: NDArray[np.int32] = np.lexsort((hashes, place)).astype(np.int32)
    return order


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Which questions share a batch, in what order."""

    order: Any
    """int32 array of question numbers, in the order in which they are asked."""
    batch_size: int
    costs: Any = None
    """Array of what each batch costs, as far as can be told beforehand; None: all the same."""

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def batch(self, number: int) -> list[int]:
        """Return the question numbers of one batch, in order."""
        start = number * self.batch_size
        found: list[int] = self.order[start : start + self.batch_size].tolist()
        return found

    def open_batches(self, done: Any, limit: int, shard: tuple[int, int] | None = None) -> OpenBatches:
        """Return the batches among the first `limit` questions that have one not yet done, in order.

        Args:
            done: bool array over question numbers.
            limit: questions.
            shard: only those of this part.
        """
        import numpy as np

        starts = np.arange(0, limit, self.batch_size)
        still_open = np.logical_or.reduceat(~done[self.order[:limit]], starts) if limit else starts
        numbers = np.flatnonzero(still_open)
        if shard is not None:
            numbers = np.intersect1d(numbers, self.of_shard(limit, shard).numbers)
        return OpenBatches(self, numbers)

    def of_shard(self, limit: int, shard: tuple[int, int] | None) -> OpenBatches:
        """Return the batches of one of n parts of the first `limit` questions: parts cost about the same."""
        import numpy as np

        every = OpenBatches(self, np.arange(-(-limit // self.batch_size)))
        if shard is None:
            return every
        number, count = shard
        return OpenBatches(self, np.sort(every.by_cost().numbers[number - 1 :: count]))

    def digest(self) -> str:
        """Return a SHA-256 over the order and the batch size."""
        data = self.order.astype("<i4").tobytes()
        return hashlib.sha256(b"%d\n" % self.batch_size + data).hexdigest()


@dataclass(frozen=True, slots=True)
class OpenBatches(Sequence[list[int]]):
    """Some batches of a plan, each a list of question numbers made when it is asked for."""

    plan: BatchPlan
    numbers: Any
    """int array of batch numbers."""

    def __len__(self) -> int:
        return len(self.numbers)

    def by_cost(self) -> OpenBatches:
        """Return the same batches, the most costly ones first: handed out so, the last ones end at about one time."""
        import numpy as np

        if self.plan.costs is None:
            return self
        falling = np.argsort(-self.plan.costs[self.numbers], kind="stable")
        return OpenBatches(self.plan, self.numbers[falling])

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> OpenBatches: ...
    def __getitem__(self, index: int | slice) -> list[int] | OpenBatches:
        if isinstance(index, slice):
            return OpenBatches(self.plan, self.numbers[index])
        return self.plan.batch(int(self.numbers[index]))


def plan_batches(
    examples: Sequence[Example],
    permutations: int,
    seed: int,
    batch_size: int,
    likeness: NDArray[np.int64] | None = None,
) -> BatchPlan:
    """Plan a run: question ``q`` is permutation ``q % permutations`` of example ``q // permutations``.

    The permutations of one example stand side by side.

    Args:
        examples: what is asked about.
        permutations: questions an example.
        seed: of the order.
        batch_size: questions a batch.
        likeness: int array of shape [examples]; examples of near values are put into one batch (`together`).
    """
    import numpy as np

    order: NDArray[np.int32] = stratified_order(examples, seed)
    if permutations > 1:
        order = np.add.outer(order * permutations, np.arange(permutations)).ravel().astype(np.int32)
    if likeness is not None:
        order = together(order, likeness[order // permutations], batch_size)
    order = np.ascontiguousarray(order, dtype=np.int32)
    costs = None if likeness is None else batch_costs(likeness[order // permutations], batch_size)
    return BatchPlan(order, batch_size, costs)


def batch_costs(likeness: NDArray[np.int64], batch_size: int) -> NDArray[np.float64]:
    """Return a number a batch that rises with what it costs: its questions times its largest picture and longest text.

    Args:
        likeness: of each question, in the order in which they are asked.
        batch_size: questions a batch.
    """
    import numpy as np

    starts = np.arange(0, len(likeness), batch_size)
    pixels, letters = pixels_and_letters(likeness)
    largest = np.maximum.reduceat(pixels, starts) + PIXELS_OF_A_LETTER * np.maximum.reduceat(letters, starts)
    costs: NDArray[np.float64] = largest * np.diff([*starts, len(likeness)]).astype(np.float64)
    return costs


def together(order: NDArray[np.int32], likeness: NDArray[np.int64], batch_size: int) -> NDArray[np.int32]:
    """Sort an order by likeness within windows of 1, 1, 2, 4, ... and at last `WINDOW` batches.

    Batches of like questions need little padding.  Windows keep what is asked first a fair sample of the whole, and
    let a run that is limited to n questions ask at most about 2 n.

    Args:
        order: question numbers.
        likeness: of each of them, in that order.
        batch_size: questions a batch.
    """
    import numpy as np

    sorted_order = order.copy()
    start, batches = 0, 1
    while start < len(order):
        stop = start + batches * batch_size
        inside = np.argsort(likeness[start:stop], kind="stable")
        sorted_order[start:stop] = order[start:stop][inside]
        batches = min(max(1, stop // batch_size), WINDOW)
        start = stop
    return sorted_order
