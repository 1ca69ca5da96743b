"""Decoding of images, the same for every model: upright, RGB, refused when broken or a bomb."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 178_956_970
"""A larger picture is refused before it is decoded (three bytes a pixel); Pillow by itself opens no larger one."""


class ImageInvalid(Exception):
    """The bytes are no picture that can be shown; the message says why, in one line."""


def decode_image(data: bytes) -> Image:
    """Decode an image to RGB as people see it.

    EXIF rotation is applied, an animation gives its first frame, transparency is laid on white, 16-bit greys
    are scaled to 8 bits, CMYK and palettes are converted.

    Raises:
        ImageInvalid: empty, truncated, not an image, or more than `MAX_PIXELS`.
    """
    from PIL import Image as PILImage
    from PIL import ImageOps, UnidentifiedImageError

    if not data:
        raise ImageInvalid("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image = PILImage.open(io.BytesIO(data))
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageInvalid(f"more than {MAX_PIXELS:,} pixels")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # by itself it copies what is upright already
        return _to_rgb(image)
    except (ImageInvalid, MemoryError):
        raise
    except PILImage.DecompressionBombError as error:
        raise ImageInvalid(f"more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise ImageInvalid("not an image in a known format") from error
    except Exception as error:
        raise ImageInvalid(
            f"damaged image: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


def blank_like(image: Image) -> Image:
    """Return a picture of the same size that shows nothing: middle grey."""
    from PIL import Image as PILImage

    return PILImage.new("RGB", image.size, (128, 128, 128))


def _to_rgb(image: Image) -> Image:
    import numpy as np
    from PIL import Image as PILImage

    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        return image.point(lambda value: value / 257, "L").convert("RGB")
    if image.mode == "I":
        scale = 257 if np.asarray(image).max(initial=0) > 255 else 1
        return image.point(lambda value: value / scale).convert("L").convert("RGB")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = PILImage.new("RGBA", layer.size, (255, 255, 255, 255))
        return PILImage.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")
