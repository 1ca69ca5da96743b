"""Draws one moth: background, shadow, wings, body, grass, light, blur and noise, in whole numbers.

Every pixel is carried back into the frame of the resting moth, where `_moth_tables` tells what lies there;
edges are softened over one pixel by their distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fgvr_datasets._moth_draws import Draws
from fgvr_datasets._moth_fixed import ONE, Ints, cosine, sine
from fgvr_datasets._moth_ground import lay
from fgvr_datasets._moth_outlines import HEIGHT, SIZE, STEP, UNIT, WIDTH
from fgvr_datasets._moth_paint import Cover, Paint, vary
from fgvr_datasets._moth_species import Attributes
from fgvr_datasets._moth_tables import WingTables, body_tables, wing_tables

GRASS = ((104, 142, 62), (132, 156, 78), (168, 160, 96))


@dataclass(frozen=True, slots=True)
class Pose:
    """How the moth sits in the picture."""

    turn: int
    """Rotation in 1/1024 turns."""
    scale: int
    """In thousandths."""
    x: int
    y: int
    light: tuple[int, int]
    """Where light comes from: (±1, ±1)."""


def draw(attributes: Attributes, draws: Draws) -> npt.NDArray[np.uint8]:
    """Draw a moth; return RGB, shape (192, 192, 3).  `draws` decides everything but its attributes."""
    light = draws.pick(((1, -1), (-1, -1)))
    turn, scale = draws.between(-114, 114), draws.between(680, 980)
    pose = Pose(turn, scale, SIZE // 2 + draws.between(-7, 7), SIZE // 2 + draws.between(-7, 7), light)
    picture = lay(draws, SIZE, light)
    _settle(picture, attributes, pose, draws)
    _grass(picture, pose, draws)
    return _expose(picture, draws)


def draw_plate(attributes: Attributes, draws: Draws) -> npt.NDArray[np.uint8]:
    """Draw a moth as a field guide shows it: upright, large, sharp, nothing across it; RGB, (192, 192, 3)."""
    pose = Pose(0, 980, SIZE // 2, SIZE // 2, (-1, -1))
    picture = lay(draws, SIZE, pose.light)
    _settle(picture, attributes, pose, draws)
    return np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _settle(picture: Ints, attributes: Attributes, pose: Pose, draws: Draws) -> None:
    """Draw the moth and its shadow into a picture of shape (3, 192, 192)."""
    tables, body = wing_tables(attributes.wing), body_tables()
    cover = _place(pose, tables, picture)
    plane = picture.reshape(3, -1)
    paint = Paint(attributes, tables, draws)
    for part, distance, reach in (
        (paint.antennae, body.antenna, 9 * UNIT),
        (paint.hindwings, tables.hind, UNIT),
        (paint.forewings, tables.fore, UNIT),
        (paint.body, body.body, UNIT),
    ):
        covered = cover.within(distance, reach)
        plane[:, covered.at] = part(covered, plane[:, covered.at].astype(np.int32))


def _place(pose: Pose, tables: WingTables, picture: Ints) -> Cover:
    """Find the moth's pixels and darken those in its shadow."""
    right = cosine(pose.turn) * STEP * 1000 // pose.scale
    down = sine(pose.turn) * STEP * 1000 // pose.scale
    steps = np.arange(SIZE, dtype=np.int32)
    column, row = (steps - pose.x)[None, :], (steps - pose.y)[:, None]
    u = (column * right + row * down) // ONE
    v = (row * right - column * down) // ONE - STEP * 2
    table = _index(u, v)
    reach = 7 * pose.scale // 1000 + 2
    away_x, away_y = -pose.light[0] * reach, -pose.light[1] * reach
    distance = tables.moth[
        _index(u - (away_x * right + away_y * down) // ONE, v - (away_y * right - away_x * down) // ONE)
    ]
    shade = np.clip(6 * UNIT - distance, 0, 11 * UNIT) * 120 // (11 * UNIT)
    picture -= (picture * shade >> 8).astype(np.int16)
    edge = max(1, 16 * pose.scale // 1000)
    flat = table.reshape(-1)
    at = np.flatnonzero(tables.reach[flat] < UNIT)
    side = np.where(u.reshape(-1)[at] * pose.light[0] > 0, 1, -1)
    return Cover(at, flat[at], side.astype(np.int32), edge)


def _index(u: Ints, v: Ints) -> Ints:
    """Return the table index of points in the moth's frame, in table steps from its middle."""
    x = np.minimum(np.abs(u), WIDTH - 1)
    y = np.clip(v + HEIGHT // 2, 0, HEIGHT - 1)
    return y * WIDTH + x


def _grass(picture: Ints, pose: Pose, draws: Draws) -> None:
    """Lay up to two blades over the picture: on one side of the body, so that the other wings stay in the open."""
    count = draws.pick((0, 0, 0, 1, 1, 2))
    side = draws.pick((1, -1))
    for blade in range(count):
        _blade(picture, pose, side, draws.between(26, 62) + 26 * blade, draws)


def _blade(picture: Ints, pose: Pose, side: int, aside: int, draws: Draws) -> None:
    """Lay one blade over the picture, `aside` pixels from the moth's middle or as far as it takes to miss the body."""
    lean, bend = draws.between(-40, 40), draws.between(-24, 24)
    wide, tip = draws.between(5, 9), draws.between(-60, 40)
    green = vary(draws.pick(GRASS), draws, 14)
    rows = np.arange(SIZE, dtype=np.int32)
    height = rows - SIZE // 2
    centre = (lean * height * 16 // 96) + bend * height * height * 16 // (96 * 96)
    for along in range(-30, 56, 5):  # head to tail
        x = pose.x - along * pose.scale * sine(pose.turn) // (1000 * ONE)
        y = pose.y + along * pose.scale * cosine(pose.turn) // (1000 * ONE)
        aside = max(aside, side * (x - pose.x - int(centre[y]) // 16) + 18)
    centre += (pose.x + side * aside) << 4
    half = np.clip((rows - tip) * wide // 4, 0, wide << 3)  # in sixteenths
    columns = (np.arange(SIZE, dtype=np.int32) << 4)[None, :]
    first, last = max(0, int(centre.min() >> 4) - 12), min(SIZE, int(centre.max() >> 4) + 24)
    if first >= last:
        return
    offset = columns[:, first:last] - centre[:, None]
    view = picture[:, :, first:last]
    shadow = np.clip(half[:, None] + 40 - np.abs(offset - 90), 0, 80) * np.minimum(half, 16)[:, None] // 16
    view -= (view * shadow >> 8).astype(np.int16)
    alpha = np.clip(128 + (half[:, None] - np.abs(offset)) * 16, 0, 256) * np.minimum(half, 16)[:, None] >> 4
    shade = 246 + np.clip(offset * 3 // 8, -44, 36) - np.where(np.abs(offset) < 12, 34, 0)
    for channel in range(3):
        plane = view[channel]
        plane += ((((green[channel] * shade) >> 8) - plane) * alpha >> 8).astype(np.int16)


def _expose(picture: Ints, draws: Draws) -> npt.NDArray[np.uint8]:
    """Light, tint, blur and noise; round to bytes."""
    for _ in range(draws.pick((0, 0, 1, 1, 2))):
        picture = _soften(picture)
    steps = np.arange(SIZE, dtype=np.int32) - SIZE // 2
    fall_x, fall_y = draws.between(-22, 22), draws.between(-22, 22)
    light = draws.between(104, 140) + (steps * fall_x // 96)[None, :] + (steps * fall_y // 96)[:, None]
    strength = draws.between(0, 9)
    noise = np.frombuffer(draws.noise(SIZE * SIZE), np.int8).reshape(SIZE, SIZE)
    grain = (noise.astype(np.int16) * strength) >> 7
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    for channel in range(3):
        gain = light * draws.between(120, 136) >> 7
        plane = (picture[channel] * gain >> 7) + grain
        out[:, :, channel] = np.clip(plane, 0, 255)
    return out


def _soften(picture: Ints) -> Ints:
    """Blur with the weights 1 2 1, both ways; the border stays."""
    rows = picture.copy()
    rows[:, 1:-1] = (picture[:, :-2] + 2 * picture[:, 1:-1] + picture[:, 2:] + 2) >> 2
    both = rows.copy()
    both[:, :, 1:-1] = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:] + 2) >> 2
    return both
