"""Images read ahead arrive as they are, through memory that is used over and over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from option_toys import draw_pictures
from PIL.Image import Image

from fgvr_bench.engines.open_clip import ToBytes
from fgvr_bench.miners.reading import SLOTS, read_images


def small(image: Image) -> torch.Tensor:
    return ToBytes()(image.resize((8, 8)))


def as_it_is(image: Image) -> torch.Tensor:
    return ToBytes()(image.crop((0, 0, 8, image.height // 4)))


@pytest.mark.parametrize("workers", [1, 3])
def test_pixels_from_workers_are_those_read_here_and_stay_until_the_batch_after_the_next(
    tmp_path: Path, workers: int
) -> None:
    examples = draw_pictures(tmp_path, 60).examples()
    Path(examples[7].image.path).write_bytes(b"no picture")
    order = [*range(60), *range(60)]
    assert len(order) // 2 > 3 * workers * SLOTS
    here = list(read_images(examples, order, 2, small, 0))
    behind = None
    for number, batch in enumerate(read_images(examples, order, 2, small, workers)):
        assert batch.slot is not None
        assert (batch.indices, batch.unreadable) == (here[number].indices, here[number].unreadable)
        for read, expected in ((behind, here[number - 1]), (batch, here[number])):
            if read is not None:
                assert torch.equal(read.pixels, expected.pixels)
        behind = batch
    assert number == len(here) - 1
    assert len(here[3].unreadable) == 1


def test_images_that_do_not_become_one_shape_come_as_tensors_of_their_own(tmp_path: Path) -> None:
    examples = draw_pictures(tmp_path, 8).examples()
    batches = list(read_images(examples, range(8), 2, as_it_is, 2))
    assert [batch.slot for batch in batches] == [None] * 4
    assert all(batch.pixels is not None and len(batch.pixels) == 2 for batch in batches)
