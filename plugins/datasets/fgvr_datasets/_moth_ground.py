"""What the moths sit on: bark, moss, leaf, stone and weathered wood.

A texture is a sheet of 448 × 448 pixels, made once a process; each picture takes a part of it, turned
over or not, in colours of its own, lit from the moth's side.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fgvr_datasets._moth_draws import Draws, seeded_bytes
from fgvr_datasets._moth_fixed import Ints, isqrt, smooth_noise

SHEET = 448
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One texture; int16 arrays of shape (448, 448)."""

    height: Ints
    """Relief, about 0 to 255."""
    tone: Ints
    """0 (dark colour) to 127 (light colour)."""
    patch: Ints
    """0 to 127: how much of the third colour (lichen, veins, litter) lies over it."""


@dataclass(frozen=True, slots=True)
class Look:
    """A texture in certain colours."""

    sheet: str
    dark: Colour
    light: Colour
    patch: Colour
    relief: int
    """Strength of light and shade."""


LOOKS: tuple[Look, ...] = (
    Look("bark", (58, 44, 36), (140, 118, 98), (150, 160, 136), 5),
    Look("bark", (70, 66, 64), (158, 150, 140), (176, 172, 120), 5),
    Look("moss", (34, 50, 22), (112, 130, 56), (150, 150, 84), 5),
    Look("moss", (36, 54, 40), (98, 124, 84), (128, 116, 74), 5),
    Look("leaf", (52, 84, 38), (104, 140, 66), (150, 172, 104), 3),
    Look("leaf", (112, 78, 44), (164, 124, 76), (190, 158, 108), 3),
    Look("stone", (92, 92, 96), (156, 154, 150), (192, 194, 168), 4),
    Look("stone", (122, 106, 88), (186, 168, 142), (204, 196, 176), 4),
    Look("wood", (96, 84, 74), (172, 160, 146), (120, 106, 92), 3),
    Look("wood", (118, 92, 66), (188, 160, 124), (98, 76, 56), 3),
)


def _fractal(name: str, cells: tuple[tuple[int, int], ...]) -> Ints:
    """Return noise of several cell sizes (y, x), each half as strong as the one before, 0 to 255."""
    total = np.zeros((SHEET, SHEET), np.int32)
    weight, weights = 1 << len(cells), 0
    for order, (cell_y, cell_x) in enumerate(cells):
        weight >>= 1
        total += weight * smooth_noise(SHEET, SHEET, cell_y, cell_x, name, str(order))
        weights += weight
    return total // weights


def _cells(name: str, cell: int, warp: Ints | None = None) -> tuple[Ints, Ints, Ints]:
    """Return distances to the two nearest of points strewn one a cell, in pixels × 4, and that point's byte."""
    side = SHEET // cell + 4
    strewn = (
        np.frombuffer(seeded_bytes(3 * side * side, "cells", name), np.uint8).reshape(3, side, side).astype(np.int32)
    )
    y, x = np.meshgrid(*2 * [np.arange(SHEET, dtype=np.int32) * 4], indexing="ij")
    if warp is not None:
        y, x = y + warp, x + np.roll(warp, 97, axis=0)
    step = 4 * cell
    row, column = y // step + 1, x // step + 1
    first = np.full((SHEET, SHEET), 1 << 28, np.int32)
    second, owner = first.copy(), np.zeros_like(first)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            at = (row + down) % side * side + (column + right) % side
            point_y = (row + down - 1) * step + (strewn[0].reshape(-1)[at] * step >> 8)
            point_x = (column + right - 1) * step + (strewn[1].reshape(-1)[at] * step >> 8)
            gap = (y - point_y) ** 2 + (x - point_x) ** 2
            second = np.minimum(second, np.maximum(first, gap))
            owner = np.where(gap < first, strewn[2].reshape(-1)[at], owner)
            first = np.minimum(first, gap)
    return isqrt(first), isqrt(second), owner


def _limit(values: Ints, most: int) -> Ints:
    return np.clip(values, 0, most)


def _bark() -> tuple[Ints, Ints, Ints]:
    warp = (_fractal("bark-warp", ((70, 60), (30, 26))) - 128) // 3
    columns = (np.arange(SHEET, dtype=np.int32)[None, :] + warp) % SHEET
    rows = np.arange(SHEET, dtype=np.int32)[:, None]
    plates = _fractal("bark-plates", ((64, 15), (30, 7), (12, 4)))[rows, columns]
    ridge = _limit(abs(plates - 128) * 5, 255)
    fine = _fractal("bark-fine", ((10, 3), (5, 2)))
    lichen = _limit((_fractal("bark-lichen", ((50, 50), (18, 18), (7, 7))) - 150) * 4, 110)
    height = ridge * 3 // 4 + fine // 4
    return height, _limit(20 + ridge * 70 // 255 + (fine - 100) // 4, 127), lichen * fine >> 8


def _moss() -> tuple[Ints, Ints, Ints]:
    warp = (_fractal("moss-warp", ((14, 14), (6, 6))) - 128) >> 3
    near, _, owner = _cells("fronds", 9, warp)
    cushion = _fractal("moss-cushion", ((70, 70), (30, 30), (12, 12)))
    tip = _limit(255 - near * 9, 255)
    fine = _fractal("moss-fine", ((4, 4), (2, 2)))
    height = (tip * 2 + cushion + fine) // 4
    tone = _limit((tip * 60 >> 8) + (cushion - 90) // 3 + (owner >> 4) + (fine - 128) // 6, 127)
    litter = np.where(owner > 240, _limit(150 - near * 9, 100), 0)
    return height, tone, litter


def _leaf() -> tuple[Ints, Ints, Ints]:
    y, x = np.meshgrid(*2 * [np.arange(SHEET, dtype=np.int32)], indexing="ij")
    wander = (_fractal("leaf-wander", ((90, 90), (40, 40))) - 128) // 6
    aside = abs(x - SHEET // 2 + wander)
    along = (y - aside * 5 // 8 + wander) % 46
    vein = np.minimum(along, 46 - along)
    midrib = _limit(127 - (aside - 3) * 26, 127)
    side = _limit(96 - vein * 34, 96)
    near, second, _ = _cells("leaf-cells", 12)
    net = _limit(60 - (second - near) * 8, 60)
    blotch = _fractal("leaf-blotch", ((60, 60), (22, 22), (8, 8)))
    ribs = np.maximum(np.maximum(midrib, side), net // 2)
    height = 128 + vein * 3 - ribs // 2 + (blotch >> 3)
    return height, _limit(64 + (blotch - 128) * 2 // 3, 127), ribs


def _stone() -> tuple[Ints, Ints, Ints]:
    rough = _fractal("stone-rough", ((48, 48), (24, 24), (11, 11), (5, 5), (3, 3)))
    speck = np.frombuffer(seeded_bytes(SHEET * SHEET, "stone-specks"), np.uint8).reshape(SHEET, SHEET).astype(np.int32)
    warp = (_fractal("stone-warp", ((20, 20), (9, 9))) - 128) * 2 // 3
    near, second, owner = _cells("rosettes", 58, warp)
    rosette = np.where(owner > 150, _limit((owner // 3 + 20 - near) * 6, 112), 0)
    lobes = 150 + abs(near * 3 % 96 - 48) + rough // 3
    tone = _limit(64 + (rough - 128) + np.where(speck > 244, 26, np.where(speck < 10, -34, 0)), 127)
    return rough + (rosette >> 2) + (second >> 5), tone, rosette * lobes >> 8


def _wood() -> tuple[Ints, Ints, Ints]:
    bend = _fractal("wood-bend", ((150, 40), (60, 20))) - 128
    lines = np.arange(SHEET, dtype=np.int32)[None, :] * 16 + bend * 4
    ring = abs(lines % 272 - 136)
    fibre = _fractal("wood-fibre", ((80, 3), (34, 2)))
    crack = _limit((58 - _fractal("wood-crack", ((120, 7), (40, 4)))) * 5, 127)
    tone = _limit(30 + ring * 50 // 136 + (fibre - 110) // 2, 127)
    return _limit(fibre + 60 - crack, 255), tone, crack


_MAKERS = {"bark": _bark, "moss": _moss, "leaf": _leaf, "stone": _stone, "wood": _wood}


@functools.cache
def sheet(name: str) -> Sheet:
    """Return one texture."""
    return Sheet(*(np.ascontiguousarray(part, np.int16) for part in _MAKERS[name]()))


def lay(draws: Draws, size: int, light: tuple[int, int]) -> npt.NDArray[np.int16]:
    """Return a background, shape (3, size, size), about 0 to 255; `light` is (±1, ±1), where it comes from."""
    look = draws.pick(LOOKS)
    texture = sheet(look.sheet)
    top, left = draws.below(SHEET - size - 2), draws.below(SHEET - size - 2)
    down, right = draws.pick((1, -1)), draws.pick((1, -1))
    turned = draws.chance(40)

    def part(values: Ints, shift_y: int = 0, shift_x: int = 0) -> Ints:
        y, x = (shift_x * down, shift_y * right) if turned else (shift_y * down, shift_x * right)
        cut = values[1 + top + y : 1 + top + y + size, 1 + left + x : 1 + left + x + size][::down, ::right]
        return cut.T if turned else cut

    slope = part(texture.height) * 2 - part(texture.height, light[1], 0) - part(texture.height, 0, light[0])
    shade = np.clip(slope * look.relief >> 4, -46, 46)
    tone = part(texture.tone)
    patch = part(texture.patch)
    mood = draws.between(-14, 14)
    ground = np.empty((3, size, size), np.int16)
    for channel in range(3):
        dark, light_, over = look.dark[channel] + mood, look.light[channel] + mood, look.patch[channel] + mood
        plane = dark + (tone * (light_ - dark) >> 7)
        ground[channel] = plane + (patch * (over - plane) >> 7) + shade
    return ground
