"""Images on their way to an encoder: read, decoded and preprocessed ahead of it, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgvr_bench.core.ahead import Claimed, cores, read_ahead
from fgvr_bench.engines.torchvision_ops import Carried
from fgvr_bench.miners.parts import AHEAD, ByParts, Parts
from fgvr_bench.types import Example

if TYPE_CHECKING:
    import torch

    from fgvr_bench.engines.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
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


def read_images(
    examples: Sequence[Example],
    indices: Sequence[int],
    size: int,
    preprocessing: Preprocessing,
    workers: int | None,
    claims: Claimed | None = None,
) -> Iterator[ImageBatch]:
    """Yield batches of `size` preprocessed images in the order of `indices`; with `claims`, those that this rank gets.

    Args:
        examples: where the images are.
        indices: which of them.
        size: images in a batch.
        preprocessing: what becomes of an image in a worker, and of a batch here.
        workers: processes that read ahead; None is one a core (at most 16), 0 reads here.
        claims: hands the batches out, where several ranks share them.

    Raises:
        FgvrError: a worker process was killed from outside.
    """
    parts = Parts(examples, indices, size, Carried(preprocessing.read))
    if workers is None:
        workers = 0 if parts.batches < 3 else min(16, cores())
    workers = min(workers, len(parts))
    if workers:
        parts.share(workers, preprocessing.bytes_each)
    positions: list[int] = []
    images: list[torch.Tensor] = []
    unreadable: dict[int, str] = {}
    for part in read_ahead(parts, workers, False, None if claims is None else ByParts(claims, parts), AHEAD):
        positions += part.indices
        if part.shapes:
            images += part.views(preprocessing.take(parts.data_of(part)))
        unreadable |= part.unreadable
        if parts.ends_a_batch(part):
            pixels = preprocessing.join(images) if images else None
            yield ImageBatch(positions, part.number // parts.of_a_batch, pixels, unreadable)
            positions, images, unreadable = [], [], {}
