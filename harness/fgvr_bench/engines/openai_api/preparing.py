"""A picture as a data URL, in worker processes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.interfaces import Preparer
from fgvr_bench.types import NoImage, Prompt

if TYPE_CHECKING:
    from PIL.Image import Image

ENCODINGS = ("png", "jpeg")
"""What a picture becomes that cannot be sent as its file is: PNG loses nothing, JPEG is a tenth of the size."""
JPEG_QUALITY = 95
ORDINARY_MODES = frozenset({"RGB", "L"})
"""Colours that every server reads alike; palettes, transparency, CMYK and 16 bits are not among them."""


@dataclass(frozen=True, slots=True)
class PicturePreparer(Preparer):
    """Makes the data URL of a picture: its file, where that is an ordinary upright JPEG or PNG, else its pixels."""

    encoding: str = ENCODINGS[0]

    def item(self, prompt: Prompt, image: Image) -> str:
        """Return ``data:image/...;base64,...``; nothing for a prompt of words alone."""
        if isinstance(prompt.image, NoImage):
            return ""
        kind, data = _as_it_is(prompt.image.read(), image) or _encoded(image, self.encoding)
        return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _as_it_is(data: bytes, image: Image) -> tuple[str, bytes] | None:
    """Return kind and bytes of a file that any reader sees as `image`; None where it has to be encoded anew.

    Compared by pixels, so that what the harness shows in a picture's place (a grey one) is what is sent.
    """
    from PIL import Image as PILImage

    try:
        with PILImage.open(io.BytesIO(data)) as file:
            kind = str(file.format).lower()
            ordinary = file.mode in ORDINARY_MODES and "transparency" not in file.info
            frames = getattr(file, "n_frames", 1)
            if kind not in ENCODINGS or not ordinary or frames != 1 or _turned(file):
                return None
        same = decode_image(data)
    except (OSError, ImageInvalid):
        return None
    return (kind, data) if same.size == image.size and same.tobytes() == image.tobytes() else None


def _turned(file: Image) -> bool:
    """Say whether a picture is stored otherwise than upright; not every server turns it."""
    from PIL.ExifTags import Base

    return bool(file.getexif().get(Base.Orientation, 1) != 1)


def _encoded(image: Image, encoding: str) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    if encoding == "jpeg":
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        image.save(buffer, "PNG", compress_level=3)
    return encoding, buffer.getvalue()
