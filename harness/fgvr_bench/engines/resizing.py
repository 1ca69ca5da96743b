"""Pillow's resizing as products of matrices: the same bytes, on any device that has float64.

Pillow resizes rows first and then columns; each time a byte is a sum of bytes, weighted with whole numbers of 22 binary
digits after the point, and rounded.  Such sums are exact in float64, in whatever order they are added up.  The weights
are asked of Pillow itself, so they are those of its version and of every one of its filters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

DIGITS = 22
"""Binary digits after the point of a weight."""


@lru_cache(maxsize=512)
def weights(source: int, target: int, filter_: int) -> torch.Tensor:
    """Return what each of `source` pixels in a line gives to each of `target` pixels, shape (source, target), float64.

    Each is what Pillow makes of a line that is empty but for one pixel: it resizes pictures of whole numbers with the
    weights that it rounds for bytes, and rounds in the same way.
    """
    import numpy as np
    import torch
    from PIL import Image

    lines = Image.fromarray(np.eye(source, dtype=np.int32) << DIGITS)
    resized = np.array(lines.resize((target, source), Image.Resampling(filter_)))
    return torch.from_numpy(resized).double() / (1 << DIGITS)


def resized(images: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Resize images of one size: rows first.

    Args:
        images: shape (n, height, width, channels), uint8.
        across: weights of a row, shape (width, new width), on the same device.
        down: weights of a column, shape (height, new height).

    Returns:
        Shape (n, channels, new height, new width), uint8.
    """
    import torch

    count, height, width, channels = images.shape
    rows = images.permute(0, 1, 3, 2).to(torch.float64, memory_format=torch.contiguous_format)
    rows = rows.view(count, height * channels, width)
    rows = _whole(rows @ across).view(count, height, -1)
    columns = _whole(down.T @ rows).to(torch.uint8)
    return columns.reshape(count, down.shape[1], channels, across.shape[1]).permute(0, 2, 1, 3)


def _whole(sums: torch.Tensor) -> torch.Tensor:
    """Round sums to bytes as Pillow does, in place."""
    return sums.add_(0.5).floor_().clamp_(0, 255)


@dataclass(frozen=True, slots=True)
class Framing:
    """What a transform does to the frame of an image: resize it, then cut out the centre."""

    size: int | tuple[int, int]
    """Of the shorter side; or height and width, whatever the image's."""
    frame: tuple[int, int]
    """Height and width of what is cut out."""
    filter: int
    """Pillow's number for the filter."""

    @classmethod
    def of(cls, steps: list[Any]) -> Framing | None:
        """Read the steps of a torchvision transform that come before the image becomes numbers; None for any others."""
        from torchvision.transforms import CenterCrop, Resize
        from torchvision.transforms.functional import pil_modes_mapping

        if not steps or not isinstance(steps[0], Resize) or steps[0].max_size is not None:
            return None
        size = steps[0].size if isinstance(steps[0].size, int) else tuple(steps[0].size)
        cropped = [tuple(step.size) for step in steps[1:2] if isinstance(step, CenterCrop)]
        others = [getattr(step, "__name__", type(step).__name__) for step in steps[1 + len(cropped) :]]
        if any(name not in {"MaybeConvertMode", "_convert_to_rgb"} for name in others):
            return None
        whole = (size, size) if isinstance(size, int) else size
        frame = cropped[0] if cropped else whole
        if len(whole) != 2 or (isinstance(size, int) and not cropped) or any(map(int.__gt__, frame, whole)):
            return None
        return cls(size, frame, int(pil_modes_mapping[steps[0].interpolation]))

    def weights(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weights of a row and of a column of an image, of those pixels that are cut out.

        Shapes (width, frame's width) and (height, frame's height).
        """
        if isinstance(self.size, int):
            short = min(height, width)
            target = tuple(self.size if side == short else int(self.size * side / short) for side in (height, width))
        else:
            target = self.size
        down, across = (
            weights(source, wanted, self.filter).narrow(1, round((wanted - kept) / 2.0), kept)
            for source, wanted, kept in zip((height, width), target, self.frame, strict=True)
        )
        return across, down

    def is_rows_first(self, image: torch.Tensor, framed: torch.Tensor) -> bool:
        """Say whether the transform makes of an image just what `resized` makes of it, and shows that rows came first.

        Looks at every seventh row and column.  Pillow may take columns first where that is less work.

        Args:
            image: shape (height, width, 3), uint8.
            framed: what the transform made of it, shape (3, frame's height, frame's width).
        """
        import torch

        height, width, _ = image.shape
        across, down = (each[:, ::7] for each in self.weights(height, width))
        made, expected = resized(image[None], across, down)[0], framed[:, ::7, ::7]
        if not torch.equal(made, expected):
            return False
        otherwise = resized(image.transpose(0, 1)[None], down, across)[0].transpose(1, 2)
        return not torch.equal(otherwise, expected)
