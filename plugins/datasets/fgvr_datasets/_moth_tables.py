"""Where on a moth a point lies: distance tables of wings, body and antennae, made once a process.

A table holds a value for every half pixel of the right half of a moth, flattened row by row.  Distances
are in sixteenths of a pixel, negative inside.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fgvr_datasets._moth_fixed import Ints, isqrt, smooth_noise
from fgvr_datasets._moth_outlines import ANTENNA, BODY, HALF, HEIGHT, UNIT, WIDTH, WINGS, Point


@dataclass(frozen=True, slots=True)
class WingTables:
    """What the drawing asks of each half pixel; every array has length `HEIGHT` × `WIDTH`."""

    fore: Ints
    """Distance to the forewing."""
    fore_margin: Ints
    """Distance to its outer margin, unsigned."""
    fore_course: Ints
    """Length along the outer margin up to the nearest point of it."""
    hind: Ints
    hind_margin: Ints
    hind_course: Ints
    moth: Ints
    """Distance to wings and body together."""
    reach: Ints
    """The same with the antennae at their widest."""
    along: Ints
    """Distance from the base along the forewing, square to the bands."""
    across: Ints
    """Position along the bands."""
    fore_vein: Ints
    """Distance to the nearest vein of the forewing."""
    hind_vein: Ints
    grain: Ints
    """Scales: noise from -128 to 127, drawn out from the base to the margin."""


@dataclass(frozen=True, slots=True)
class BodyTables:
    """The same for what all moths share."""

    body: Ints
    """Distance to head, thorax and abdomen."""
    antenna: Ints
    """Distance to the middle of the antenna, unsigned."""
    antenna_course: Ints
    """Length along the antenna from its root."""
    fur: Ints
    """Noise from -128 to 127."""


def curve(points: Sequence[Point], closed: bool, rounds: int = 3) -> list[Point]:
    """Round a polygon off by cutting corners (Chaikin), in distance units; doubled points stay corners."""
    path = [(x * UNIT, y * UNIT) for x, y in points]
    for _ in range(rounds):
        following = [*path[1:], path[0]] if closed else path[1:]
        cut = [
            ((near * ax + far * bx) >> 2, (near * ay + far * by) >> 2)
            for (ax, ay), (bx, by) in zip(path, following, strict=False)
            for near, far in ((3, 1), (1, 3))
        ]
        path = cut if closed else [path[0], *cut, path[-1]]
    return [point for point, _ in itertools.groupby(path)]


def _coarse() -> tuple[Ints, Ints]:
    """Return x and y of a coarse grid, one point a pixel, in distance units, shapes (1, 98) and (194, 1)."""
    x = np.arange(HALF + 2, dtype=np.int32)[None, :] * UNIT
    y = (np.arange(2 * HALF + 2, dtype=np.int32)[:, None] - HALF) * UNIT
    return x, y


def _refine(coarse: Ints) -> Ints:
    """Double the resolution of a coarse grid and return it flattened."""
    rows = np.empty((HEIGHT, coarse.shape[1]), np.int32)
    rows[0::2] = coarse[: HEIGHT // 2]
    rows[1::2] = (coarse[: HEIGHT // 2] + coarse[1 : HEIGHT // 2 + 1]) >> 1
    fine = np.empty((HEIGHT, WIDTH), np.int32)
    fine[:, 0::2] = rows[:, : WIDTH // 2]
    fine[:, 1::2] = (rows[:, : WIDTH // 2] + rows[:, 1 : WIDTH // 2 + 1]) >> 1
    return fine.reshape(-1)


def _nearest(path: Sequence[Point]) -> tuple[Ints, Ints]:
    """Return the distance to an open path and the length along it up to the nearest point (coarse grid)."""
    x, y = _coarse()
    best = np.full((y.size, x.size), 1 << 30, np.int32)
    course = np.zeros_like(best)
    length = 0
    for (ax, ay), (bx, by) in itertools.pairwise(path):
        dx, dy = bx - ax, by - ay
        square = dx * dx + dy * dy
        share = np.clip(((x - ax) * dx + (y - ay) * dy) * 256 // square, 0, 256)
        gap_x, gap_y = x - ax - (share * dx >> 8), y - ay - (share * dy >> 8)
        gap = gap_x * gap_x + gap_y * gap_y
        nearer = gap < best
        best = np.where(nearer, gap, best)
        step = int(isqrt(np.array([square], np.int32))[0])
        course = np.where(nearer, length + (share * step >> 8), course)
        length += step
    return isqrt(best), course


def _inside(outline: Sequence[Point]) -> npt.NDArray[np.bool_]:
    """Return where the coarse grid lies inside a closed outline (even-odd rule)."""
    x, y = _coarse()
    inside = np.zeros((y.size, x.size), bool)
    for (ax, ay), (bx, by) in zip(outline, [*outline[1:], outline[0]], strict=True):
        if ay == by:
            continue
        between = (ay > y) != (by > y)
        left = (x - ax) * abs(by - ay) < (bx - ax) * (y - ay) * (1 if by > ay else -1)
        inside ^= between & left
    return inside


def _signed(outline: Sequence[Point]) -> Ints:
    distance, _ = _nearest([*outline, outline[0]])
    return np.where(_inside(outline), -distance, distance)


def _veins(base: Point, targets: Sequence[Point]) -> Ints:
    """Return the distance to the nearest of the straight veins from the base."""
    x, y = _coarse()
    best = np.full((y.size, x.size), 1 << 14, np.int32)
    for target in targets:
        start, end = ((px * UNIT, py * UNIT) for px, py in (base, target))
        best = np.minimum(best, _nearest([start, end])[0])
    return best


def _spread(margin: Sequence[Point], count: int) -> list[Point]:
    """Return `count` points evenly along the margin's list of points."""
    last = len(margin) - 1
    return [margin[(2 * step + 1) * last // (2 * count)] for step in range(count)]


@functools.cache
def wing_tables(wing: str) -> WingTables:
    """Return the tables of one kind of wings."""
    shape, body = WINGS[wing], body_tables()
    fore = _signed(curve([*shape.costa, *shape.margin, *shape.inner], closed=True))
    fore_margin, fore_course = _nearest(curve(shape.margin, closed=False, rounds=2))
    hind = _signed(curve([*shape.hind_top, *shape.hind_margin], closed=True))
    hind_margin, hind_course = _nearest(curve(shape.hind_margin[:-1], closed=False, rounds=2))
    x, y = _coarse()
    down_x, down_y = shape.across
    along = ((x - 3 * UNIT) * down_y - (y + 4 * UNIT) * down_x) >> 6
    across = ((x - 3 * UNIT) * down_x + (y + 4 * UNIT) * down_y) >> 6
    fine_along, fine_across = _refine(along), _refine(across)
    streaks = smooth_noise(2048, 2048, 14, 5, "scales").astype(np.int32) - 128
    grain = streaks[(fine_across // 5 + 700) & 2047, (fine_along // 9) & 2047]
    return WingTables(
        fore=_refine(fore),
        fore_margin=_refine(fore_margin),
        fore_course=_refine(fore_course),
        hind=_refine(hind),
        hind_margin=_refine(hind_margin),
        hind_course=_refine(hind_course),
        moth=(moth := np.minimum(np.minimum(_refine(fore), _refine(hind)), body.body)),
        reach=np.minimum(moth, body.antenna - 8 * UNIT),
        along=fine_along,
        across=fine_across,
        fore_vein=_refine(_veins((4, -6), _spread(shape.margin, 6))),
        hind_vein=_refine(_veins((4, 2), _spread(shape.hind_margin[:-1], 5))),
        grain=grain,
    )


@functools.cache
def clouds() -> Ints:
    """Return soft blotches, -128 to 127, over twice the extent of a table, so that every moth has its own part."""
    return smooth_noise(2 * HEIGHT, 2 * WIDTH, 52, 40, "clouds") - 128


@functools.cache
def body_tables() -> BodyTables:
    """Return the tables of body and antennae."""
    outline = [(-2, BODY[0][1]), *BODY, (-2, BODY[-1][1])]
    antenna, course = _nearest(curve(ANTENNA, closed=False))
    fur = smooth_noise(HEIGHT, WIDTH, 7, 3, "fur") - 128
    body = _refine(_signed(curve(outline, closed=True)))
    return BodyTables(body, _refine(antenna), _refine(course), fur.reshape(-1))
