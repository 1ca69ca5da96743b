"""Preprocessing of many images in two halves: one in worker processes, one in the process that drives the device."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from fgvr_bench.engines.memory import memory_guard
from fgvr_bench.engines.resizing import Framing, resized

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


class Preprocessing(Protocol):
    """The two halves."""

    @property
    def read(self) -> Callable[[Image], torch.Tensor]:
        """Turn an RGB image into what travels; picklable, for worker processes."""

    @property
    def bytes_each(self) -> int:
        """What an image has on its way, at most as a rule."""

    def take(self, data: torch.Tensor) -> torch.Tensor:
        """Return the bytes of some images, shape (bytes,), in memory that nobody else writes to."""

    def join(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return a batch, shape (n, 3, height, width), of what travelled."""


@dataclass(frozen=True, slots=True)
class OnHost:
    """All of it in the workers."""

    read: Callable[[Image], torch.Tensor]

    @property
    def bytes_each(self) -> int:
        """Those of a picture of no size in particular."""
        return _bytes_of_one(self.read)

    def take(self, data: torch.Tensor) -> torch.Tensor:
        """Return a copy."""
        import torch

        return _copied(data, torch.empty_like(data))

    def join(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Stack the images."""
        import numpy as np
        import torch

        return torch.from_numpy(np.stack([image.numpy() for image in images]))


def _bytes_of_one(read: Callable[[Image], torch.Tensor]) -> int:
    from PIL import Image as PILImage

    return read(PILImage.new("RGB", (64, 48))).nbytes


def _copied(data: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Copy by one thread: torch would take as many as there are cores, which have images to read."""
    target.numpy()[...] = data.numpy()
    return target


LARGEST = 1 << 20
"""Bytes of an image that travels as it was decoded."""
LEARNT_AT = 3
"""Which image of a size is looked at, to learn how it is resized: what is rare is not worth it."""


@dataclass
class Unframed:
    """Turns an RGB image into bytes: as it was decoded where it is known how a device frames it, else framed.

    Framed is of shape (3, frame's height, frame's width), as decoded of shape (height, width, 3).  Which pass of the
    resizing Pillow makes first depends on the size, so that is learnt for each that is common, from an image of it.
    """

    framing: Framing
    read: Callable[[Image], torch.Tensor]
    """Frames an image."""
    _seen: Counter[tuple[int, int]] = field(default_factory=Counter, init=False)
    _rows_first: set[tuple[int, int]] = field(default_factory=set, init=False)

    def __call__(self, image: Image) -> torch.Tensor:
        """Return one of the two."""
        import numpy as np
        import torch

        if image.size in self._rows_first:
            return torch.from_numpy(np.array(image))
        framed = self.read(image)
        self._seen[image.size] += 1
        if self._seen[image.size] == LEARNT_AT and image.width * image.height * 3 <= LARGEST:
            decoded = torch.from_numpy(np.array(image))
            if self.framing.is_rows_first(decoded, framed):
                self._rows_first.add(image.size)
        return framed


AT_ONCE = 64
"""Images of a size that are resized together: a float64 a byte, and as much again."""


class OnDevice:
    """Workers decode; the device resizes, crops and holds the batch."""

    def __init__(self, read: Callable[[Image], torch.Tensor], framing: Framing | None, device: str) -> None:
        import torch

        self.read = read if framing is None else Unframed(framing, read)
        self.bytes_each = max(_bytes_of_one(read), 0 if framing is None else LARGEST)
        self._framing, self._device = framing, device
        # Not in the stream of the model, which would keep it waiting for the batch before.
        self._stream = torch.cuda.Stream(device) if device.startswith("cuda") else None  # type: ignore[no-untyped-call]

    def take(self, data: torch.Tensor) -> torch.Tensor:
        """Send bytes to the device, and do not wait until they are there.

        Raises:
            OutOfMemory: they do not fit.
        """
        import torch

        with memory_guard(), torch.cuda.stream(self._stream):
            return self._sent(data)

    def join(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Frame the images that are not, all of a size together.

        Raises:
            OutOfMemory: they do not fit.
        """
        import torch

        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, image in enumerate(images):
            groups[tuple(image.shape)].append(place)
        with memory_guard(), torch.cuda.stream(self._stream):
            parts, order = [], []
            for shape, places in groups.items():
                for start in range(0, len(places), AT_ONCE):
                    here = places[start : start + AT_ONCE]
                    parts.append(self._framed(shape, torch.stack([images[place] for place in here])))
                    order += here
            batch = torch.cat(parts)
            if order != sorted(order):
                batch = batch[self._sent(torch.tensor(order).argsort())]
        if self._stream is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(self._stream)
            batch.record_stream(current)
        return batch

    def _framed(self, shape: tuple[int, ...], images: torch.Tensor) -> torch.Tensor:
        if self._framing is None or shape == (3, *self._framing.frame):
            return images
        height, width, _ = shape
        return resized(images, *_weights_on(self._device, self._framing, height, width))

    def _sent(self, data: torch.Tensor) -> torch.Tensor:
        import torch

        if self._stream is None:
            return data.to(self._device, copy=True)
        pinned = torch.empty(data.shape, dtype=data.dtype, pin_memory=True)
        return _copied(data, pinned).to(self._device, non_blocking=True)


@lru_cache(maxsize=128)
def _weights_on(device: str, framing: Framing, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    across, down = framing.weights(height, width)
    return across.to(device), down.to(device)
