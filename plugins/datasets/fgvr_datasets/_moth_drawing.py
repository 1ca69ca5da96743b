"""Draws one moth: background, shadow, wings, body, grass, light, blur and noise, in whole numbers.

Every pixel is carried back into the frame of the resting moth, where `_moth_shapes` tells what lies there;
edges are softened over one pixel by their distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fgvr_datasets._moth_draws import Draws
from fgvr_datasets._moth_fixed import ONE, Ints, cosine, isqrt, sine
from fgvr_datasets._moth_ground import lay
from fgvr_datasets._moth_shapes import HEIGHT, STEP, UNIT, WIDTH, WINGS, WingTables, body_tables, wing_tables
from fgvr_datasets._moth_species import Attributes

SIZE = 192
Colour = tuple[int, int, int]

GROUNDS: dict[str, tuple[Colour, Colour, Colour]] = {
    "cream": ((222, 202, 152), (92, 62, 38), (244, 234, 206)),
    "grey": ((146, 146, 156), (44, 42, 50), (206, 206, 212)),
    "green": ((104, 148, 84), (34, 52, 30), (198, 216, 176)),
    "rufous": ((178, 88, 48), (66, 24, 16), (232, 172, 126)),
    "ochre": ((216, 158, 56), (104, 54, 20), (246, 216, 148)),
}
"""Ground colour, colour of the marks, pale tone."""
HINDWINGS: dict[str, Colour] = {"yellow": (240, 186, 36), "crimson": (198, 30, 54)}
COUNTS = {"one": (1,), "two": (0, 1), "three": (0, 1, 2)}
"""Which of a wing's band positions are taken."""


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


@dataclass(frozen=True, slots=True)
class Spots:
    """The pixels that the moth may cover, and where they lie on it; all of one length."""

    at: Ints
    """Index into the flattened picture."""
    table: Ints
    """Index into the tables of `_moth_shapes`."""
    side: Ints
    """+1 on the wing towards the light, -1 on the other."""
    edge: int
    """Alpha a distance unit at the edge of things: 256 over one pixel."""


def draw(attributes: Attributes, draws: Draws) -> npt.NDArray[np.uint8]:
    """Draw a moth; return RGB, shape (192, 192, 3).  `draws` decides everything but its attributes."""
    light = draws.pick(((1, -1), (-1, -1)))
    pose = Pose(
        draws.between(-114, 114), draws.between(680, 980), 96 + draws.between(-7, 7), 96 + draws.between(-7, 7), light
    )
    picture = lay(draws, SIZE, light)
    tables = wing_tables(attributes.wing)
    spots = _place(pose, tables, picture)
    plane = picture.reshape(3, -1)
    under = plane[:, spots.at].astype(np.int32)
    plane[:, spots.at] = _moth(attributes, tables, spots, under, draws)
    _grass(picture, pose, draws)
    return _expose(picture, draws)


def _place(pose: Pose, tables: WingTables, picture: Ints) -> Spots:
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
    at = np.flatnonzero(tables.reach[flat] < 2 * UNIT)
    side = np.where(u.reshape(-1)[at] * pose.light[0] > 0, 1, -1)
    return Spots(at, flat[at], side.astype(np.int32), edge)


def _index(u: Ints, v: Ints) -> Ints:
    """Return the table index of points in the moth's frame, in table steps from its middle."""
    x = np.minimum(np.abs(u), WIDTH - 1)
    y = np.clip(v + HEIGHT // 2, 0, HEIGHT - 1)
    return y * WIDTH + x


def _cover(distance: Ints, edge: int) -> Ints:
    """Return how much of a pixel lies inside (distance < 0): 0 to 256."""
    return np.clip(128 - distance * edge, 0, 256)


def _mix(under: Ints, colour: Ints | Colour, alpha: Ints) -> Ints:
    """Lay a colour, (3, n) or one of three numbers, over another (3, n)."""
    over = np.array(colour, np.int32)[:, None] if isinstance(colour, tuple) else colour
    return under + ((over - under) * alpha >> 8)


def _lit(colour: Colour, shade: Ints) -> Ints:
    """Return a colour under a shade (256 = as it is), shape (3, n)."""
    return np.array(colour, np.int32)[:, None] * shade >> 8


def _blend(first: Colour, second: Colour, share: int) -> Colour:
    """Return `share` / 256 of the second colour in the first."""
    red, green, blue = (a + ((b - a) * share >> 8) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _vary(colour: Colour, draws: Draws, most: int) -> Colour:
    """Return a colour a little off, as individuals are."""
    lift = draws.between(-most, most)
    red, green, blue = (min(255, max(0, part + lift + draws.between(-most // 2, most // 2))) for part in colour)
    return red, green, blue


def _moth(attributes: Attributes, tables: WingTables, spots: Spots, under: Ints, draws: Draws) -> Ints:
    ground, mark, pale = GROUNDS[attributes.ground]
    ground = _vary(ground, draws, 9)
    hind_colour = HINDWINGS.get(attributes.hindwing) or _blend(ground, pale, 110)
    picture = _antennae(under, attributes.antennae, spots)
    at, edge = spots.table, spots.edge
    fore = tables.fore[at]
    grain = tables.grain[at]
    hind = _hindwing(tables, spots, _vary(hind_colour, draws, 8), fore, grain)
    hind = _fringe(hind, attributes.fringe, tables.hind_margin[at], tables.hind_course[at], spots, mark, pale)
    picture = _mix(picture, hind, _cover(tables.hind[at], edge))
    wing = _forewing(tables, spots, ground, fore, grain)
    wing = _bands(wing, attributes, tables, spots, mark, pale, draws)
    wing = _spot(wing, attributes, tables, spots, mark, pale)
    wing = _fringe(wing, attributes.fringe, tables.fore_margin[at], tables.fore_course[at], spots, mark, pale)
    picture = _mix(picture, wing, _cover(fore, edge))
    return _body(picture, attributes, spots, ground, mark, pale)


def _forewing(tables: WingTables, spots: Spots, ground: Colour, fore: Ints, grain: Ints) -> Ints:
    at = spots.table
    along = tables.along[at]
    shade = 262 + 12 * spots.side + (grain * 26 >> 7)
    shade -= np.clip(30 * UNIT - along, 0, 30 * UNIT) * 52 // (30 * UNIT)  # darker at the base
    shade -= np.clip(20 - tables.fore_vein[at], 0, 20) * 2  # veins
    rim = np.clip(3 * UNIT + fore, 0, 3 * UNIT)
    shade -= np.where(tables.fore_margin[at] > 6 * UNIT, rim, 0)  # costa and inner edge
    return _lit(ground, shade)


def _hindwing(tables: WingTables, spots: Spots, colour: Colour, fore: Ints, grain: Ints) -> Ints:
    at = spots.table
    shade = 258 + 8 * spots.side + (grain * 18 >> 7)
    shade -= np.clip(9 * UNIT - fore, 0, 9 * UNIT) * 84 // (9 * UNIT)  # in the forewing's shadow
    shade -= np.clip(20 - tables.hind_vein[at], 0, 20) * 3 // 2
    shade -= np.clip(14 * UNIT - tables.hind_margin[at], 0, 14 * UNIT) * 30 // (14 * UNIT)
    return _lit(colour, shade)


def _fringe(wing: Ints, kind: str, margin: Ints, course: Ints, spots: Spots, mark: Colour, pale: Colour) -> Ints:
    wide = (4 if kind == "plain" else 6) * UNIT
    alpha = _cover(margin - wide, spots.edge)
    if kind == "plain":
        return _mix(wing, pale, alpha * 110 >> 8)
    if kind == "dark":
        return _mix(wing, _blend(mark, (0, 0, 0), 90), alpha * 236 >> 8)
    checks = np.where(course % (15 * UNIT) < 7 * UNIT, 0, 1)
    wing = _mix(wing, _blend(mark, (0, 0, 0), 90), alpha * (1 - checks) * 236 >> 8)
    return _mix(wing, _blend(pale, (255, 255, 255), 120), alpha * checks * 236 >> 8)


def _bands(
    wing: Ints, attributes: Attributes, tables: WingTables, spots: Spots, mark: Colour, pale: Colour, draws: Draws
) -> Ints:
    along, across = tables.along[spots.table], tables.across[spots.table]
    if attributes.band_form == "wavy":
        waves = np.array([sine(step) for step in range(0, 1024, 4)], np.int32)
        phase = draws.below(256)
        along = along + (waves[(across * 256 // (13 * UNIT) + phase) & 255] * (3 * UNIT) >> 14)
    for number in COUNTS[attributes.bands]:
        middle = WINGS[attributes.wing].bands[number] * UNIT
        distance = np.abs(along - middle)
        wing = _mix(wing, pale, _cover(np.abs(along - middle - 3 * UNIT) - UNIT, spots.edge) * 90 >> 8)
        wing = _mix(wing, mark, _cover(distance - 3 * UNIT // 2, spots.edge) * 225 >> 8)
    return wing


def _spot(wing: Ints, attributes: Attributes, tables: WingTables, spots: Spots, mark: Colour, pale: Colour) -> Ints:
    shape = WINGS[attributes.wing]
    (x, y), (down_x, down_y) = shape.spot, shape.across
    along = tables.along[spots.table] - (((x - 3) * down_y - (y + 4) * down_x) * UNIT >> 6)
    across = tables.across[spots.table] - (((x - 3) * down_x + (y + 4) * down_y) * UNIT >> 6)
    dark = _blend(mark, (0, 0, 0), 100)
    if attributes.spot == "bar":
        distance = np.maximum(np.abs(along) - 10 * UNIT, np.abs(across) - 3 * UNIT)
        return _mix(wing, dark, _cover(distance, spots.edge) * 240 >> 8)
    radius = isqrt(np.minimum(along * along + across * across, 1 << 20))
    if attributes.spot == "dot":
        return _mix(wing, dark, _cover(radius - 5 * UNIT, spots.edge) * 240 >> 8)
    wing = _mix(wing, dark, _cover(radius - 8 * UNIT, spots.edge) * 240 >> 8)
    return _mix(wing, _blend(pale, (255, 255, 255), 150), _cover(radius - 5 * UNIT, spots.edge) * 245 >> 8)


def _antennae(under: Ints, kind: str, spots: Spots) -> Ints:
    body = body_tables()
    distance, course = body.antenna[spots.table], body.antenna_course[spots.table]
    if kind == "thread":
        under = _mix(under, (40, 30, 24), _cover(distance - 2 * UNIT, spots.edge) * 130 >> 8)
        return _mix(under, (196, 168, 128), _cover(distance - UNIT, spots.edge))
    wide = np.clip(np.minimum(course // 2 + UNIT, (60 * UNIT - course) // 4), UNIT, 7 * UNIT)
    under = _mix(under, (40, 26, 16), _cover(distance - wide - UNIT // 2, spots.edge) * 150 >> 8)
    comb = np.where((course + distance * 2 // 3) % 56 < 30, 250, 120)
    under = _mix(under, (222, 176, 104), _cover(distance - wide + UNIT // 2, spots.edge) * comb >> 8)
    return _mix(under, (84, 50, 26), _cover(distance - UNIT, spots.edge))


def _body(picture: Ints, attributes: Attributes, spots: Spots, ground: Colour, mark: Colour, pale: Colour) -> Ints:
    tables = body_tables()
    distance = tables.body[spots.table]
    x, y = spots.table % WIDTH * UNIT // STEP, (spots.table // WIDTH - HEIGHT // 2) * UNIT // STEP
    depth = np.clip(-distance, 0, 9 * UNIT)
    shade = 176 + depth * 96 // (9 * UNIT) + spots.side * np.minimum(x, 8 * UNIT) // 6
    shade += tables.grain[spots.table] * 40 >> 7
    behind = y > 9 * UNIT
    coat = np.where(behind, _lit(_blend(ground, pale, 60), shade), _lit(_blend(ground, mark, 80), shade))
    coat = _mix(coat, pale, _cover(np.abs(y + 20 * UNIT) - 2 * UNIT, spots.edge) * 150 >> 8)  # collar
    segment = (y - 12 * UNIT) % (9 * UNIT)
    dark = behind & (segment < 5 * UNIT) & (y > 12 * UNIT)
    if attributes.abdomen == "ringed":
        coat = _mix(coat, _blend(mark, (0, 0, 0), 90), np.where(dark, 235, 0))
        coat = _mix(coat, pale, np.where(behind & ~dark, 120, 0))
    eye = np.maximum(np.abs(x - 5 * UNIT), np.abs(y + 25 * UNIT)) - 2 * UNIT
    coat = _mix(coat, (26, 20, 18), _cover(eye, spots.edge) * 220 >> 8)
    return _mix(picture, coat, _cover(distance, spots.edge))


def _grass(picture: Ints, pose: Pose, draws: Draws) -> None:
    """Lay up to two blades over the picture; they miss the body, and one wing at least stays in the open."""
    count = draws.pick((0, 0, 1, 1, 2))
    side = draws.pick((1, -1))
    for blade in range(count):
        aside = draws.between(26, 62) + 26 * blade
        _blade(picture, pose.x + side * aside, draws)


def _blade(picture: Ints, middle: int, draws: Draws) -> None:
    """Lay one blade over the picture that passes through `middle` at half height."""
    lean, bend = draws.between(-40, 40), draws.between(-24, 24)
    wide, tip = draws.between(5, 9), draws.between(-60, 40)
    green = _vary(draws.pick(((104, 142, 62), (132, 156, 78), (168, 160, 96))), draws, 14)
    rows = np.arange(SIZE, dtype=np.int32)
    height = rows - SIZE // 2
    centre = (middle << 4) + (lean * height * 16 // 96) + bend * (height * height * 16 // (96 * 96))
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
        gain = light * draws.between(119, 137) >> 7
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
