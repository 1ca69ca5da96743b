"""Images read ahead arrive as they are, through memory that is used over and over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from option_toys import draw_pictures
from PIL.Image import Image

from fgvr_bench.core.ahead import read_ahead
from fgvr_bench.core.images import decode_image
from fgvr_bench.engines.open_clip import ToBytes
from fgvr_bench.engines.preprocessing import OnHost
from fgvr_bench.engines.torchvision_ops import Carried
from fgvr_bench.miners.parts import AHEAD, PART, ByParts, Parts
from fgvr_bench.miners.reading import ImageBatch, read_images


def small(image: Image) -> torch.Tensor:
    return ToBytes()(image.resize((8, 8)))


def of_its_size(image: Image) -> torch.Tensor:
    return ToBytes()(image).float()


def assert_same(batch: ImageBatch, expected: ImageBatch) -> None:
    assert (batch.indices, batch.number, batch.unreadable) == (expected.indices, expected.number, expected.unreadable)
    assert batch.pixels is not None
    assert expected.pixels is not None
    assert torch.equal(batch.pixels, expected.pixels)


@pytest.mark.parametrize("workers", [1, 3])
def test_pixels_from_workers_are_those_read_here_and_stay(tmp_path: Path, workers: int) -> None:
    examples = draw_pictures(tmp_path, 60).examples()
    Path(examples[7].image.path).write_bytes(b"no picture")
    order = list(range(60)) * 5
    size = PART + 3  # two parts a batch
    here = list(read_images(examples, order, size, OnHost(small), 0))
    assert 2 * len(here) > 2 * workers * (AHEAD + 1)
    for batch, expected in zip(list(read_images(examples, order, size, OnHost(small), workers)), here, strict=True):
        assert_same(batch, expected)
    assert [index for batch in here for index in batch.indices] == order
    assert here[0].unreadable.keys() == {7}


@pytest.mark.parametrize(("room", "there"), [(100, False), (1 << 16, True), (1 << 50, False)])
def test_images_for_which_there_is_no_room_travel_by_themselves(tmp_path: Path, room: int, there: bool) -> None:
    examples = draw_pictures(tmp_path, 8).examples()
    read = Parts(examples, range(8), 4, Carried(of_its_size))
    read.share(1, room)
    for number, part in enumerate(read_ahead(read, 1, False, None, AHEAD)):
        assert isinstance(part.data, int) is there
        for image, index in zip(part.views(read.data_of(part)), range(4 * number, 4 * number + 4), strict=True):
            assert torch.equal(image, of_its_size(decode_image(examples[index].image.read())))


class Some:
    """Claims some batches, not all one after another."""

    def __init__(self) -> None:
        self.taken = 0

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[int | None]:
        yield from (0, None, 1, 3)

    def take_up(self) -> None:
        self.taken += 1


@pytest.mark.parametrize("workers", [0, 2])
def test_claims_are_of_batches_whose_parts_travel(tmp_path: Path, workers: int) -> None:
    examples = draw_pictures(tmp_path, 20).examples()
    size = 2 * PART + 5
    order = (list(range(20)) * size)[: 3 * size + 7]  # three parts a batch, and one in the last
    all_of_them = list(read_images(examples, order, size, OnHost(small), 0))
    claims = Some()
    numbered = ByParts(claims, Parts(examples, order, size, Carried(small)))
    assert list(numbered) == [0, 1, 2, None, 3, 4, 5, 9]
    found = list(read_images(examples, order, size, OnHost(small), workers, claims))
    assert [batch.number for batch in found] == [0, 1, 3]
    for batch in found:
        assert_same(batch, all_of_them[batch.number])
    assert claims.taken == 3
