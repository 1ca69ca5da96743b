"""Pictures as files hold them: upright, RGB, and refused in words where they cannot be had."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgvr_bench.core.images import MAX_PIXELS, ImageInvalid, blank_like, decode_image


def encoded(image: Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def halves(left: Any, right: Any, mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Return a picture whose left half has one colour and whose right half another."""
    image = Image.new(mode, size, right)
    image.paste(left, (0, 0, size[0] // 2, size[1]))
    return image


def corners(image: Image.Image) -> tuple[Any, Any]:
    return image.getpixel((2, 2)), image.getpixel((image.width - 3, image.height - 3))


def test_sixteen_bit_greys_are_scaled_not_clipped() -> None:
    ramp = Image.fromarray(np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16))
    found = np.asarray(decode_image(encoded(ramp)))
    assert found.shape == (16, 16, 3)
    expected = (np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16) / 257).astype(int)
    assert np.abs(found[..., 0].astype(int) - expected).max() <= 1


def test_transparency_is_laid_on_white() -> None:
    shown = decode_image(encoded(halves((200, 10, 10, 255), (10, 10, 200, 0), "RGBA")))
    assert corners(shown) == ((200, 10, 10), (255, 255, 255))


def test_transparency_of_a_palette_is_laid_on_white() -> None:
    picture = halves(1, 0, "P")
    picture.putpalette([10, 10, 200, 200, 10, 10])
    assert corners(decode_image(encoded(picture, transparency=0))) == ((200, 10, 10), (255, 255, 255))


def test_printers_colours_become_screen_colours() -> None:
    shown = decode_image(encoded(halves((0, 255, 255, 0), (255, 0, 0, 0), "CMYK"), "JPEG", quality=95))
    left, right = corners(shown)
    assert shown.mode == "RGB"
    assert left[0] > 200 > 60 > left[1]
    assert right[0] < 60 < 200 < right[2]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((200, 10, 10), (10, 200, 10))]
    shown = decode_image(encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10))
    red, green, _ = shown.getpixel((4, 4))
    assert red > 150 > 60 > green


@pytest.mark.parametrize(
    ("orientation", "expected_size", "red_at"),
    [(1, (40, 20), (0, 0)), (3, (40, 20), (39, 19)), (6, (20, 40), (0, 0)), (8, (20, 40), (19, 39))],
)
def test_a_camera_held_sideways_gives_an_upright_picture(
    orientation: int, expected_size: tuple[int, int], red_at: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = decode_image(encoded(halves((220, 10, 10), (10, 10, 220)), "JPEG", quality=95, exif=exif))
    assert shown.size == expected_size
    red, _, blue = shown.getpixel(red_at)
    assert red > 150 > 60 > blue


def test_one_pixel_is_a_picture() -> None:
    assert decode_image(encoded(Image.new("RGB", (1, 1), (1, 2, 3)))).getpixel((0, 0)) == (1, 2, 3)


def test_twenty_thousand_pixels_of_one_side_are_a_picture() -> None:
    assert decode_image(encoded(Image.new("1", (20_000, 50), 1))).size == (20_000, 50)


def huge_png(width: int, height: int) -> bytes:
    """Return a PNG that says it is this large and holds nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("limit", [Image.MAX_IMAGE_PIXELS, None])
def test_twenty_thousand_pixels_a_side_are_refused_before_they_are_decoded(
    limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # some libraries take Pillow's own limit away
    assert MAX_PIXELS < 20_000 * 20_000
    with pytest.raises(ImageInvalid, match=r"^more than 178,956,970 pixels$"):
        decode_image(huge_png(20_000, 20_000))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: b"", "the file is empty"),
        (lambda data: b"<html>not found</html>", "not an image in a known format"),
        (lambda data: data[: len(data) // 2], "damaged image"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(spoil: Callable[[bytes], bytes], words: str) -> None:
    whole = encoded(Image.effect_noise((64, 64), 80).convert("RGB"), "JPEG")
    with pytest.raises(ImageInvalid, match=words) as caught:
        decode_image(spoil(whole))
    assert "\n" not in str(caught.value)


def test_a_blank_picture_has_the_size_of_the_one_it_stands_for() -> None:
    blank = blank_like(Image.new("RGB", (7, 3), (9, 9, 9)))
    assert (blank.size, blank.getpixel((6, 2))) == ((7, 3), (128, 128, 128))
