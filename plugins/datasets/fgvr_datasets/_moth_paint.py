"""The colours of one moth: what each pixel of antennae, wings and body looks like, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fgvr_datasets._moth_draws import Draws
from fgvr_datasets._moth_fixed import ONE, Ints, cosine, isqrt, sine
from fgvr_datasets._moth_outlines import HEIGHT, STEP, UNIT, WIDTH, WINGS
from fgvr_datasets._moth_species import Attributes
from fgvr_datasets._moth_tables import WingTables, body_tables, clouds

Colour = tuple[int, int, int]

GROUNDS: dict[str, tuple[Colour, Colour, Colour]] = {
    "cream": ((222, 202, 152), (92, 62, 38), (244, 234, 206)),
    "grey": ((146, 146, 156), (44, 42, 50), (206, 206, 212)),
    "green": ((104, 148, 84), (34, 52, 30), (198, 216, 176)),
    "rufous": ((178, 88, 48), (66, 24, 16), (232, 172, 126)),
    "ochre": ((216, 158, 56), (104, 54, 20), (246, 216, 148)),
}
"""Ground colour, colour of the marks, pale tone."""
HINDWINGS: dict[str, Colour] = {"yellow": (236, 184, 40), "crimson": (184, 30, 52)}
COUNTS = {"one": (1,), "two": (0, 1), "three": (0, 1, 2)}
"""Which of a wing's band positions are taken."""


@dataclass(frozen=True, slots=True)
class Cover:
    """Pixels that a part of the moth may cover, and where they lie on it; all arrays of one length n."""

    at: Ints
    """Index into the flattened picture."""
    table: Ints
    """Index into the tables of `_moth_tables`."""
    side: Ints
    """+1 on the half towards the light, -1 on the other."""
    edge: int
    """Alpha a distance unit at the edge of things: 256 over one pixel."""

    def within(self, distance: Ints, reach: int = UNIT) -> Cover:
        """Return the pixels that lie within `reach` of what `distance` (a whole table) is the distance to."""
        kept = np.flatnonzero(distance[self.table] < reach)
        return Cover(self.at[kept], self.table[kept], self.side[kept], self.edge)

    def alpha(self, distance: Ints) -> Ints:
        """Return how much of each pixel lies inside (distance < 0): 0 to 256."""
        return np.minimum(np.maximum(128 - distance * self.edge, 0), 256)


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


def vary(colour: Colour, draws: Draws, most: int) -> Colour:
    """Return a colour a little off, as individuals are."""
    lift = draws.between(-most, most)
    red, green, blue = (min(255, max(0, part + lift + draws.between(-most // 2, most // 2))) for part in colour)
    return red, green, blue


def _wave_tables() -> tuple[Ints, Ints]:
    """Return a wave's height (distance units) and how much nearer it is than its height says (of 256)."""
    height = [sine(4 * step) * WAVE_HEIGHT >> 14 for step in range(256)]
    slopes = [cosine(4 * step) * WAVE_HEIGHT * 2 * 355 // (113 * WAVE_LENGTH) for step in range(256)]
    root = isqrt(np.array([ONE * ONE // 16 + slope * slope // 16 for slope in slopes], np.int64))
    return np.array(height, np.int32), (256 * (ONE // 4) // root).astype(np.int32)


WAVE_HEIGHT, WAVE_LENGTH = 13 * UNIT // 4, 15 * UNIT
WAVES = _wave_tables()


class Paint:
    """The colours of one individual; each part takes its pixels and what lies under them, (3, n)."""

    def __init__(self, attributes: Attributes, tables: WingTables, draws: Draws) -> None:
        ground, self.mark, self.pale = GROUNDS[attributes.ground]
        self.attributes = attributes
        self.tables = tables
        self.ground = vary(ground, draws, 9)
        self.hind = vary(HINDWINGS.get(attributes.hindwing) or _blend(ground, self.pale, 110), draws, 8)
        self.black = _blend(self.mark, (0, 0, 0), 96)
        self.white = _blend(self.pale, (255, 255, 255), 130)
        self.phase = draws.below(256)
        self.cloud = clouds()[draws.below(HEIGHT) :, draws.below(WIDTH) :][:HEIGHT, :WIDTH].reshape(-1)

    def antennae(self, cover: Cover, under: Ints) -> Ints:
        """Paint thin threads or combed plumes."""
        body = body_tables()
        distance, course = body.antenna[cover.table], body.antenna_course[cover.table]
        if self.attributes.antennae == "thread":
            under = _mix(under, (40, 30, 24), cover.alpha(distance - 2 * UNIT) * 130 >> 8)
            return _mix(under, (196, 168, 128), cover.alpha(distance - UNIT))
        wide = np.clip(np.minimum(course * 2 // 3 + UNIT, (64 * UNIT - course) // 3), UNIT, 15 * UNIT // 2)
        under = _mix(under, (40, 26, 16), cover.alpha(distance - wide - UNIT // 2) * 150 >> 8)
        comb = np.where((course + distance * 2 // 3) % 56 < 32, 256, 70)
        under = _mix(under, (232, 188, 116), cover.alpha(distance - wide + UNIT // 2) * comb >> 8)
        return _mix(under, (84, 50, 26), cover.alpha(distance - UNIT))

    def hindwings(self, cover: Cover, under: Ints) -> Ints:
        """Paint the hindwings, under the forewings."""
        tables, at = self.tables, cover.table
        margin = tables.hind_margin[at]
        shade = 258 + 8 * cover.side + (tables.grain[at] * 18 + self.cloud[at] * 32 >> 7)
        shade -= np.clip(9 * UNIT - tables.fore[at], 0, 9 * UNIT) * 84 // (9 * UNIT)  # in the forewing's shadow
        shade -= np.clip(20 - tables.hind_vein[at], 0, 20) * 2
        shade -= np.clip(14 * UNIT - margin, 0, 14 * UNIT) * 30 // (14 * UNIT)
        wing = self._fringe(_lit(self.hind, shade), cover, margin, tables.hind_course[at])
        return _mix(under, wing, cover.alpha(tables.hind[at]))

    def forewings(self, cover: Cover, under: Ints) -> Ints:
        """Paint the forewings with bands, spot and fringe."""
        tables, at = self.tables, cover.table
        fore, margin = tables.fore[at], tables.fore_margin[at]
        shade = 262 + 12 * cover.side + (tables.grain[at] * 26 + self.cloud[at] * 34 >> 7)
        shade -= np.clip(30 * UNIT - tables.along[at], 0, 30 * UNIT) * 52 // (30 * UNIT)  # darker at the base
        shade -= np.clip(20 - tables.fore_vein[at], 0, 20) * 2
        shade -= np.where(margin > 6 * UNIT, np.clip(3 * UNIT + fore, 0, 3 * UNIT), 0)  # costa and inner edge
        wing = self._spot(self._bands(_lit(self.ground, shade), cover), cover)
        wing = self._fringe(wing, cover, margin, tables.fore_course[at])
        return _mix(under, wing, cover.alpha(fore))

    def _fringe(self, wing: Ints, cover: Cover, margin: Ints, course: Ints) -> Ints:
        """Lay the fringe along an outer margin: pale hairs, or a broad dark or chequered hem."""
        kind = self.attributes.fringe
        if kind == "plain":
            return _mix(wing, self.pale, cover.alpha(margin - 4 * UNIT) * 110 >> 8)
        hem = cover.alpha(margin - 6 * UNIT) * 236 >> 8
        if kind == "dark":
            wing = _mix(wing, self.black, hem)
            return _mix(wing, self.pale, cover.alpha(margin - UNIT) * 150 >> 8)  # pale tips, to show on dark ground
        light, dark = (np.array(colour, np.int32)[:, None] for colour in (self.white, self.black))
        return _mix(wing, np.where(course % (15 * UNIT) < 7 * UNIT, light, dark), hem)

    def _bands(self, wing: Ints, cover: Cover) -> Ints:
        """Draw the lines across the forewing, each dark with a pale companion on its outer side."""
        along = self.tables.along[cover.table]
        near: Ints | int = 256
        if self.attributes.band_form == "wavy":
            height, nearness = WAVES
            step = (self.tables.across[cover.table] * 256 // WAVE_LENGTH + self.phase) & 255
            along, near = along + height[step], nearness[step]
        for number in COUNTS[self.attributes.bands]:
            beyond = (along - WINGS[self.attributes.wing].bands[number] * UNIT) * near >> 8
            wing = _mix(wing, self.pale, cover.alpha(np.abs(beyond - 3 * UNIT) - UNIT) * 90 >> 8)
            wing = _mix(wing, self.mark, cover.alpha(np.abs(beyond) - 3 * UNIT // 2) * 225 >> 8)
        return wing

    def _spot(self, wing: Ints, cover: Cover) -> Ints:
        """Draw dot, ring or bar between the inner and the outer band."""
        shape = WINGS[self.attributes.wing]
        (x, y), (down_x, down_y) = shape.spot, shape.across
        along = np.abs(self.tables.along[cover.table] - (((x - 3) * down_y - (y + 4) * down_x) * UNIT >> 6))
        across = self.tables.across[cover.table] - (((x - 3) * down_x + (y + 4) * down_y) * UNIT >> 6)
        if self.attributes.spot == "bar":
            along = np.maximum(along - 7 * UNIT, 0)
        radius = isqrt(np.minimum(along * along + across * across, 1 << 20))
        if self.attributes.spot == "ring":
            wing = _mix(wing, self.black, cover.alpha(radius - 8 * UNIT) * 240 >> 8)
            return _mix(wing, self.white, cover.alpha(radius - 5 * UNIT) * 245 >> 8)
        thick = 5 * UNIT if self.attributes.spot == "dot" else 3 * UNIT
        return _mix(wing, self.black, cover.alpha(radius - thick) * 240 >> 8)

    def body(self, cover: Cover, under: Ints) -> Ints:
        """Paint head, thorax and abdomen."""
        tables = body_tables()
        distance = tables.body[cover.table]
        x, y = cover.table % WIDTH * UNIT // STEP, (cover.table // WIDTH - HEIGHT // 2) * UNIT // STEP
        shade = 170 + np.clip(-distance, 0, 9 * UNIT) * 104 // (9 * UNIT)
        shade += cover.side * np.minimum(x, 8 * UNIT) // 6 + (tables.fur[cover.table] * 44 >> 7)
        behind = y > 9 * UNIT
        rear, front = _blend(self.ground, self.pale, 60), _blend(self.ground, self.mark, 80)
        coat = np.where(behind, _lit(rear, shade), _lit(front, shade))
        coat = _mix(coat, self.pale, cover.alpha(np.abs(y + 20 * UNIT) - 2 * UNIT) * 150 >> 8)  # collar
        if self.attributes.abdomen == "ringed":
            dark = behind & ((y - 12 * UNIT) % (9 * UNIT) < 5 * UNIT) & (y > 12 * UNIT)
            coat = _mix(coat, self.black, np.where(dark, 235, 0))
            coat = _mix(coat, self.pale, np.where(behind & ~dark, 120, 0))
        eye = np.maximum(np.abs(x - 5 * UNIT), np.abs(y + 25 * UNIT)) - 2 * UNIT
        coat = _mix(coat, (26, 20, 18), cover.alpha(eye) * 220 >> 8)
        return _mix(under, coat, cover.alpha(distance))
