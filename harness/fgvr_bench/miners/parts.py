"""Parts of batches: a few images that a worker process reads and hands over.

Their bytes are written where the encoder's process reads them, into memory that all share from the beginning.  Passed
on as tensors of their own they would be copied three times, each time into memory that the system has to provide first.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fgvr_bench.core.ahead import Claimed
from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.core.shared_memory import is_scarce, shared
from fgvr_bench.engines.torchvision_ops import Carried
from fgvr_bench.types import Example

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

PART = 16
"""Images of a batch that a worker reads at a time: few, so that the first batch is there soon, and the last one too."""
AHEAD = 2
"""Parts that each worker may be ahead."""


@dataclass(slots=True)
class Part:
    """A few images of a batch, on their way from a worker."""

    number: int
    indices: list[int]
    unreadable: dict[int, str]
    shapes: list[tuple[int, ...]]
    """Of the images that can be read."""
    dtype: torch.dtype
    """Of their numbers."""
    data: NDArray[np.uint8] | int
    """Their bytes, one after another, or in which slot of the shared memory these are.  No tensor, which would travel
    through shared memory that may not be there."""

    @property
    def bytes(self) -> int:
        """How many there are."""
        return sum(map(math.prod, self.shapes)) * self.dtype.itemsize

    def views(self, data: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the images whose bytes `data` begins with."""
        start = 0
        for shape in self.shapes:
            stop = start + math.prod(shape) * self.dtype.itemsize
            yield data[start:stop].view(self.dtype).view(shape)
            start = stop


@dataclass
class Parts:
    """Makes parts of batches by number; what torch's data loader indexes in its workers."""

    examples: Sequence[Example]
    indices: Sequence[int]
    size: int
    """Images in a batch."""
    read: Carried
    """Holds what turns an RGB image into a tensor."""
    slots: Sequence[torch.Tensor] = ()
    """Memory of all processes, for `AHEAD` + 1 parts of each worker."""
    _made: int = field(default=0, init=False)

    @property
    def of_a_batch(self) -> int:
        """Parts of each batch but the last, which may have fewer."""
        return math.ceil(self.size / PART)

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return math.ceil(len(self.indices) / self.size)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.indices), self.size)
        return whole * self.of_a_batch + math.ceil(rest / PART)

    def __getitem__(self, number: int) -> Part:
        import numpy as np
        import torch

        batch, place = divmod(number, self.of_a_batch)
        start = batch * self.size + place * PART
        indices = list(self.indices[start : min(start + PART, (batch + 1) * self.size)])
        images: list[torch.Tensor] = []
        unreadable: dict[int, str] = {}
        for index in indices:
            try:
                images.append(self.read.value(decode_image(self.examples[index].image.read())))
            except ImageInvalid as error:
                unreadable[index] = str(error)
            except OSError as error:
                unreadable[index] = error.strerror or str(error)
        dtype = images[0].dtype if images else torch.uint8
        part = Part(number, indices, unreadable, [tuple(image.shape) for image in images], dtype, 0)
        slot = self._slot_for(part.bytes)
        part.data = np.empty(part.bytes, np.uint8) if slot is None else slot
        for view, image in zip(part.views(self.data_of(part)), images, strict=True):
            view.copy_(image)
        return part

    def _slot_for(self, length: int) -> int | None:
        """Return where this worker writes next; None where there is no room for so many bytes."""
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        if worker is None or not self.slots or length > len(self.slots[0]):
            return None
        self._made += 1
        return int(worker.id) * (AHEAD + 1) + self._made % (AHEAD + 1)

    def share(self, workers: int, bytes_each: int) -> None:
        """Provide the memory that so many workers write to, for so many bytes an image, if the system has it."""
        import torch

        if not is_scarce():
            with contextlib.suppress(RuntimeError):  # there is some, but not as much: parts travel by themselves
                self.slots = shared((workers * (AHEAD + 1), PART * bytes_each), torch.uint8).unbind()

    def data_of(self, part: Part) -> torch.Tensor:
        """Return the bytes of a part, good until the next one is taken."""
        import torch

        return self.slots[part.data][: part.bytes] if isinstance(part.data, int) else torch.from_numpy(part.data)

    def ends_a_batch(self, part: Part) -> bool:
        """Say whether it is the last one of its batch."""
        return (part.number + 1) % self.of_a_batch == 0 or part.number + 1 == len(self)


class ByParts:
    """Claims of batches as the numbers of their parts."""

    def __init__(self, claims: Claimed, parts: Parts) -> None:
        self._claims, self._parts, self._taken = claims, parts, 0

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[int | None]:
        each = self._parts.of_a_batch
        for batch in self._claims:
            if batch is None:
                yield None
            else:
                yield from range(batch * each, min((batch + 1) * each, len(self._parts)))

    def take_up(self) -> None:
        """Say that work on a part begins: with the first one that on its batch does."""
        if self._taken % self._parts.of_a_batch == 0:
            self._claims.take_up()
        self._taken += 1
