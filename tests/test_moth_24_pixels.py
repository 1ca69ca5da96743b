"""The drawing of moth-24: the same bits everywhere, quick, and every attribute to be seen."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvr_bench.core.images import decode_image
from fgvr_datasets._moth_drawing import Pose, _grass, _place, draw
from fgvr_datasets._moth_draws import Draws
from fgvr_datasets._moth_fixed import SINE, isqrt, smooth_noise
from fgvr_datasets._moth_kept import Kept
from fgvr_datasets._moth_species import GENERA, SPECIES, VALUES
from fgvr_datasets._moth_tables import body_tables, wing_tables
from fgvr_datasets.moth_24 import HEAD, Moth24, MothImage, anonymous_moths, draw_digest, pinned_digests

SOME = [MothImage("test", species.slug, number) for species in SPECIES for number in (0, 49)]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_pixel_is_the_pinned_one(split: str) -> None:
    dataset = Moth24()
    assert dataset.source_digest(split) == pinned_digests()[split] == draw_digest(dataset.examples(split))


def test_pixels_do_not_depend_on_vector_units() -> None:
    script = (
        "import hashlib; from fgvr_datasets.moth_24 import Moth24, anonymous_moths;"
        "e = Moth24().examples('test'); t = hashlib.sha256();"
        "[t.update(e[i].image.read()) for i in range(0, 1200, 25)];"
        "[t.update(m.image.read()) for m in anonymous_moths(24)]; print(t.hexdigest())"
    )
    from numpy._core import _multiarray_umath as core

    present = [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
    results = []
    for disabled in ("", " ".join(present)):
        environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        results.append(done.stdout)
    assert results[0] == results[1]


def test_the_sine_table_is_the_rounded_sine() -> None:
    assert [round(math.sin(2 * math.pi * step / 1024) * 2**14) for step in range(1024)] == list(SINE)


@given(st.lists(st.integers(0, 2**30), min_size=1, max_size=50))
def test_the_whole_root_is_exact(values: list[int]) -> None:
    assert isqrt(np.array(values)).tolist() == [math.isqrt(value) for value in values]


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20)
def test_noise_stays_a_byte(cell_y: int, cell_x: int) -> None:
    noise = smooth_noise(64, 48, cell_y, cell_x, "test")
    assert noise.shape == (64, 48)
    assert noise.min() >= 0
    assert noise.max() <= 255


@given(st.text(max_size=8), st.lists(st.integers(1, 1000), max_size=300))
def test_draws_stay_below_their_bound_and_follow_from_their_words(word: str, bounds: list[int]) -> None:
    first, second = Draws(word), Draws(word)
    drawn = [first.below(bound) for bound in bounds]
    assert drawn == [second.below(bound) for bound in bounds]
    assert all(0 <= value < bound for value, bound in zip(drawn, bounds, strict=True))


def test_the_file_is_a_ppm_of_the_pixels() -> None:
    image = SOME[0]
    decoded = decode_image(image.read())
    assert decoded.size == (192, 192)
    assert np.array_equal(np.asarray(decoded), image.pixels())


def test_a_picture_that_was_drawn_before_is_the_one_that_would_be_drawn() -> None:
    image = Moth24().examples("test")[77].image
    assert image.read() == image.read() == HEAD + image.pixels().tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="memory is shared with forked processes")
def test_a_forked_process_draws_for_all() -> None:
    kept = Kept(2, 3)
    if (child := os.fork()) == 0:
        kept.put(1, b"abc")
        os._exit(0)
    os.waitpid(child, 0)
    assert kept.get(1) == b"abc"
    assert kept.get(0) is None, "zeros are no picture"


def test_a_picture_that_is_not_whole_is_drawn_again() -> None:
    kept = Kept(1, 3)
    kept.put(0, b"abc")
    kept._memory[2] = 0
    assert kept.get(0) is None
    with pytest.raises(ValueError, match="2 bytes, where 3 have room"):
        kept.put(0, b"ab")


def test_no_two_pictures_are_alike() -> None:
    drawn = [image.read() for image in SOME] + [moth.image.read() for moth in anonymous_moths(24)]
    assert len(set(drawn)) == len(drawn)
    assert SOME[0].read() == drawn[0]


def test_an_image_takes_at_most_ten_milliseconds_of_one_core() -> None:
    for image in SOME:
        image.pixels()
    times = []
    for image in SOME:
        start = time.process_time()
        image.pixels()
        times.append(time.process_time() - start)
    assert sorted(times)[len(times) // 2] < 0.010


def _at_96(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(int).reshape(96, 2, 96, 2, 3).mean((1, 3))


DIAGNOSTIC = [
    (genus.name, name, values)
    for genus in GENERA
    for place, name in enumerate(genus.diagnostic)
    for values in [tuple(sorted({species.values[place] for species in SPECIES if species.genus is genus}))]
]


@pytest.mark.parametrize(("genus", "name", "values"), DIAGNOSTIC)
def test_what_tells_species_apart_shows_at_96_pixels_in_every_individual(
    genus: str, name: str, values: tuple[str, str]
) -> None:
    """Two drawings that differ in this attribute alone differ in 12 pixels of 96 × 96 by 20 levels or more."""
    typical = next(each.typical for each in GENERA if each.name == genus)
    for number in range(40):
        seen = [_at_96(draw(replace(typical, **{name: value}), Draws("visible", str(number)))) for value in values]
        assert (abs(seen[0] - seen[1]).max(2) >= 20).sum() >= 12, number


def test_an_attribute_changes_the_moth_and_nothing_around_it() -> None:
    typical = SPECIES[0].genus.typical
    base = draw(typical, Draws("around"))
    for name in ("spot", "bands", "band_form", "fringe", "abdomen"):
        for value in VALUES[name]:
            changed = (draw(replace(typical, **{name: value}), Draws("around")) != base).any(2)
            assert changed.mean() < 0.15, name


@given(st.integers(-114, 114), st.integers(680, 980), st.integers(89, 103), st.integers(89, 103), st.text(max_size=9))
def test_grass_never_lies_on_the_body(turn: int, scale: int, x: int, y: int, seed: str) -> None:
    picture = np.zeros((3, 192, 192), np.int16)  # on black a blade shows and its shadow does not
    pose = Pose(turn, scale, x, y, (1, -1))
    body = _place(pose, wing_tables("narrow"), picture).within(body_tables().body, 0)
    _grass(picture, pose, Draws(seed))
    assert not picture.reshape(3, -1)[:, body.at].any()
