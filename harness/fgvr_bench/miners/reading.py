"""Images on their way to an encoder: read, decoded and preprocessed ahead of it, in order.

Pixels that worker processes make as bytes are written where the encoder's process reads them, into memory that all
share from the beginning.  Passed on as tensors of their own they would be copied three times, each time into memory
that the system has to provide first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.ahead import cores, read_ahead
from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.types import Example

if TYPE_CHECKING:
    import torch

    from fgvr_bench.core.ranks import Claims


@dataclass(slots=True)
class ImageBatch:
    """Some images as an encoder takes them."""

    indices: list[int]
    """Positions of the examples, the unreadable ones included."""
    number: int
    """Which of the batches it is."""
    pixels: torch.Tensor | None
    """Shape (readable images, 3, height, width); None where none can be read.  Good until the batch after the next is
    taken."""
    unreadable: dict[int, str]
    """By position: why."""
    slot: int | None = None
    """Where in the shared memory the pixels are, on their way from a worker."""

    def pin_memory(self) -> ImageBatch:
        """Move the pixels to where a GPU may copy them from by itself: for torch's data loader."""
        if self.pixels is not None:
            self.pixels = self.pixels.pin_memory()
        return self

    @property
    def readable(self) -> list[int]:
        """Positions of the examples whose images are in `pixels`."""
        return [index for index in self.indices if index not in self.unreadable]


SLOTS = 4
"""Batches of a worker that the shared memory holds: two that it is ahead, one that is computed with, one behind."""


@dataclass
class ImageBatches:
    """Makes batches by number; what torch's data loader indexes in its workers."""

    examples: Sequence[Example]
    indices: Sequence[int]
    size: int
    preprocess: Callable[[Any], torch.Tensor]
    shared: torch.Tensor | None = None
    """Shape (workers × `SLOTS`, size, 3, height, width), in memory of all processes."""
    _made: int = field(default=0, init=False)

    def __len__(self) -> int:
        return -(-len(self.indices) // self.size)

    def __getitem__(self, number: int) -> ImageBatch:
        import torch

        indices = list(self.indices[number * self.size : (number + 1) * self.size])
        slot = self._next_slot()
        alone: list[torch.Tensor] = []
        unreadable: dict[int, str] = {}
        for place, index in enumerate(indices):
            try:
                pixels = self.preprocess(decode_image(self.examples[index].image.read()))
            except ImageInvalid as error:
                unreadable[index] = str(error)
            except OSError as error:
                unreadable[index] = error.strerror or str(error)
            else:
                if slot is None or self.shared is None:
                    alone.append(pixels)
                else:
                    self.shared[slot, place - len(unreadable)] = pixels
        return ImageBatch(indices, number, torch.stack(alone) if alone else None, unreadable, slot)

    def received(self, batch: ImageBatch) -> ImageBatch:
        """Return a batch of a worker with its pixels."""
        if batch.slot is not None and self.shared is not None and batch.readable:
            batch.pixels = self.shared[batch.slot, : len(batch.readable)]
        return batch

    def _next_slot(self) -> int | None:
        """Return where this worker writes next; None where nothing is shared."""
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        if self.shared is None or worker is None:
            return None
        self._made += 1
        return int(worker.id) * SLOTS + self._made % SLOTS


def read_images(
    examples: Sequence[Example],
    indices: Sequence[int],
    size: int,
    preprocess: Callable[[Any], torch.Tensor],
    workers: int | None,
    for_gpu: bool = False,
    claims: Claims | None = None,
) -> Iterator[ImageBatch]:
    """Yield batches of `size` preprocessed images in the order of `indices`; with `claims`, those that this rank gets.

    Args:
        examples: where the images are.
        indices: which of them.
        size: images in a batch.
        preprocess: RGB image to tensor; picklable.
        workers: processes that read ahead; None is one a core (at most 16), 0 reads here.
        for_gpu: whether pixels go to a GPU.
        claims: hands the batches out, where several ranks share them.

    Raises:
        FgvrError: a worker process was killed from outside.
    """
    batches = ImageBatches(examples, indices, size, preprocess)
    if workers is None:
        workers = 0 if len(batches) < 3 else min(16, cores(), len(batches))
    if workers and (shape := _bytes_of_shape(preprocess)) is not None:
        import torch

        workers = min(workers, len(batches))
        batches.shared = torch.empty(workers * SLOTS, size, *shape, dtype=torch.uint8)
        batches.shared.share_memory_()  # type: ignore[no-untyped-call]
    for batch in read_ahead(batches, workers, for_gpu and batches.shared is None, claims):
        yield batches.received(batch)


def _bytes_of_shape(preprocess: Callable[[Any], torch.Tensor]) -> tuple[int, ...] | None:
    """Return the shape that every image gets, where it becomes bytes and all become of one shape; else None."""
    import torch
    from PIL import Image

    upright, wide = (preprocess(Image.new("RGB", size)) for size in ((24, 32), (48, 24)))
    same = upright.shape == wide.shape and upright.dtype == wide.dtype == torch.uint8
    return tuple(upright.shape) if same else None
