"""A device that resizes gives the bytes that the transform of the checkpoint gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fgvr_bench.engines import torchvision_ops
from fgvr_bench.engines.open_clip import _bytes_first
from fgvr_bench.engines.preprocessing import LARGEST, LEARNT_AT, OnDevice, OnHost
from fgvr_bench.engines.resizing import Framing, resized, weights

torchvision_ops.ensure()

FILTERS = [each for each in Image.Resampling if each.name in {"BILINEAR", "BICUBIC", "LANCZOS", "BOX", "HAMMING"}]
sides = st.integers(1, 90)


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def bytes_of(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image))


def transform(side: int, **settings: Any) -> tuple[Any, Framing]:
    from open_clip.transform import image_transform

    read, _, framing = _bytes_first(image_transform(side, is_train=False, **settings))
    assert framing is not None
    return read, framing


@settings(deadline=None)
@given(sides, sides, sides, sides, st.sampled_from(FILTERS))
def test_one_pass_is_the_one_of_pillow(height: int, width: int, high: int, wide: int, by: Image.Resampling) -> None:
    image = noise(height, width)
    for target in ((high, width), (height, wide)):
        made = resized(bytes_of(image)[None], weights(width, target[1], by), weights(height, target[0], by))[0]
        expected = bytes_of(image.resize((target[1], target[0]), by))
        assert torch.equal(made.permute(1, 2, 0), expected)


@settings(deadline=None)
@given(sides, sides, st.sampled_from(["shortest", "squash"]), st.sampled_from(["bicubic", "bilinear"]))
def test_what_is_framed_rows_first_is_framed_as_the_transform_frames_it(
    height: int, width: int, mode: str, by: str
) -> None:
    read, framing = transform(32, resize_mode=mode, interpolation=by)
    image = noise(height, width)
    if framing.is_rows_first(bytes_of(image), read(image)):
        other = noise(height, width, seed=1)
        assert torch.equal(resized(bytes_of(other)[None], *framing.weights(height, width))[0], read(other))


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (333, 500), (500, 500), (240, 320), (100, 150), (640, 427)])
def test_common_sizes_are_framed_rows_first(size: tuple[int, int]) -> None:
    read, framing = transform(224)
    image = noise(*size)
    assert framing.is_rows_first(bytes_of(image), read(image))


def test_a_picture_of_one_colour_teaches_nothing() -> None:
    read, framing = transform(32)
    image = Image.new("RGB", (50, 40), (200, 30, 30))
    assert not framing.is_rows_first(bytes_of(image), read(image))


def through(preprocessing: OnDevice | OnHost, images: Sequence[Image.Image]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return what travels, and the batch."""
    sent = [preprocessing.read(image) for image in images]
    return sent, preprocessing.join([preprocessing.take(each.reshape(-1)).view(each.shape) for each in sent])


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_of_many_sizes_is_the_one_that_the_transform_makes(device: str) -> None:
    read, framing = transform(32)
    sizes = [(75, 100), (100, 75), (40, 90), (32, 32), (33, 20)]
    images = [noise(*sizes[number % 5], seed=number) for number in range(30)]
    sent, batch = through(OnDevice(read, framing, device), images)
    assert {tuple(each.shape) for each in sent} >= {(75, 100, 3), (100, 75, 3), (40, 90, 3), (3, 32, 32)}
    assert torch.equal(batch.cpu(), torch.stack([read(image) for image in images]))
    assert torch.equal(batch.cpu(), through(OnHost(read), images)[1])


def test_large_images_and_the_first_of_a_size_travel_framed() -> None:
    read, framing = transform(32)
    large = noise(600, 1000)
    assert large.width * large.height * 3 > LARGEST
    for image in (large, noise(60, 100)):
        sent, batch = through(OnDevice(read, framing, "cpu"), [image] * (LEARNT_AT + 1))
        assert [each.shape == (3, 32, 32) for each in sent] == [True] * LEARNT_AT + [image is large]
        assert torch.equal(batch, torch.stack([read(image)] * (LEARNT_AT + 1)))


def test_transforms_that_do_more_than_resize_and_crop_are_left_to_the_workers() -> None:
    from open_clip.transform import image_transform

    for settings_ in ({"resize_mode": "longest"}, {"image_size": (32, 48)}):
        read, _, framing = _bytes_first(image_transform(**{"image_size": 32, "is_train": False, **settings_}))
        assert framing is None
        images = [noise(50, 70)] * 5
        _, batch = through(OnDevice(read, None, "cpu"), images)
        assert torch.equal(batch, torch.stack([read(image) for image in images]))
