"""Images on their way to an encoder: read, decoded and preprocessed ahead of it, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
    """Shape (readable images, 3, height, width); None where none can be read."""
    unreadable: dict[int, str]
    """By position: why."""

    @property
    def readable(self) -> list[int]:
        """Positions of the examples whose images are in `pixels`."""
        return [index for index in self.indices if index not in self.unreadable]


class ImageBatches:
    """Makes batches by number; what torch's data loader indexes in its workers."""

    def __init__(self, examples: Sequence[Example], indices: Sequence[int], size: int, preprocess: Any) -> None:
        self._examples, self._indices, self._size, self._preprocess = examples, indices, size, preprocess

    def __len__(self) -> int:
        return -(-len(self._indices) // self._size)

    def __getitem__(self, number: int) -> ImageBatch:
        import torch

        indices = list(self._indices[number * self._size : (number + 1) * self._size])
        tensors, unreadable = [], {}
        for index in indices:
            try:
                tensors.append(self._preprocess(decode_image(self._examples[index].image.read())))
            except ImageInvalid as error:
                unreadable[index] = str(error)
            except OSError as error:
                unreadable[index] = error.strerror or str(error)
        return ImageBatch(indices, number, torch.stack(tensors) if tensors else None, unreadable)


def read_images(
    examples: Sequence[Example],
    indices: Sequence[int],
    size: int,
    preprocess: Callable[[Any], Any],
    workers: int | None,
    pin_memory: bool = False,
    claims: Claims | None = None,
) -> Iterator[ImageBatch]:
    """Yield batches of `size` preprocessed images in the order of `indices`; with `claims`, those that this rank gets.

    Args:
        examples: where the images are.
        indices: which of them.
        size: images in a batch.
        preprocess: RGB image to tensor; picklable.
        workers: processes that read ahead; None is one a core (at most 16), 0 reads here.
        pin_memory: whether tensors go to a GPU.
        claims: hands the batches out, where several ranks share them.

    Raises:
        FgvrError: a worker process was killed from outside.
    """
    batches = ImageBatches(examples, indices, size, preprocess)
    if workers is None:
        workers = 0 if len(batches) < 3 else min(16, cores(), len(batches))
    yield from read_ahead(batches, workers, pin_memory, claims)
