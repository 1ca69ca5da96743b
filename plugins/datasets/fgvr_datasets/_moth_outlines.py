"""Outlines of wings, body and antennae, and where the marks of a wing sit.

A moth is drawn from its right half; the left is its mirror image.  Points are (x, y) in pixels from the
middle of the thorax, x outwards, y downwards (the head is at negative y).
"""

from __future__ import annotations

from dataclasses import dataclass

SIZE = 192
"""Side of a picture, in pixels."""
HALF = 96
"""Extent of a table to the right, up and down, in pixels."""
STEP = 2
"""Table entries a pixel."""
WIDTH = HALF * STEP
HEIGHT = 2 * HALF * STEP
UNIT = 16
"""Distance units a pixel."""

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class WingShape:
    """Outline of one kind of wings, in pixels from the middle of the thorax, and where its marks sit."""

    costa: tuple[Point, ...]
    """Leading edge of the forewing, from the base to just before the apex."""
    margin: tuple[Point, ...]
    """Outer margin, apex to tornus; a point given twice is a sharper corner."""
    inner: tuple[Point, ...]
    """Inner edge, back to the base."""
    hind_top: tuple[Point, ...]
    """Hindwing, from its base to its apex."""
    hind_margin: tuple[Point, ...]
    """Hindwing, outer margin to the body."""
    across: Point
    """Direction of the bands, downwards, as a vector of length about 64."""
    bands: tuple[int, int, int]
    """Distance of the bands from the base along the wing, in pixels: inner, outer, outermost."""
    spot: Point
    """Middle of the spot."""


WINGS: dict[str, WingShape] = {
    "pointed": WingShape(
        costa=((3, -13), (22, -25), (56, -42)),
        margin=((87, -52), (87, -52), (78, -28), (64, -4), (60, 4)),
        inner=((54, 9), (30, 9), (3, 6)),
        hind_top=((3, -2), (30, -4), (60, 2)),
        hind_margin=((67, 14), (58, 40), (34, 56), (16, 50), (3, 30)),
        across=(-16, 62),
        bands=(19, 48, 57),
        spot=(43, -18),
    ),
    "hooked": WingShape(
        costa=((3, -13), (22, -27), (54, -46)),
        margin=((84, -53), (88, -44), (88, -44), (71, -32), (76, -12), (72, 4), (62, 12)),
        inner=((52, 15), (28, 12), (3, 6)),
        hind_top=((3, -2), (34, -2), (58, 6)),
        hind_margin=((65, 20), (56, 46), (34, 58), (14, 48), (3, 28)),
        across=(-12, 63),
        bands=(24, 57, 67),
        spot=(44, -18),
    ),
    "narrow": WingShape(
        costa=((3, -14), (24, -27), (60, -42)),
        margin=((82, -46), (90, -38), (87, -27), (78, -18)),
        inner=((52, -6), (26, 4), (3, 5)),
        hind_top=((3, -2), (36, -8), (64, -8)),
        hind_margin=((76, 8), (70, 38), (44, 60), (18, 54), (3, 32)),
        across=(16, 62),
        bands=(28, 64, 75),
        spot=(47, -22),
    ),
    "scalloped": WingShape(
        costa=((3, -13), (20, -28), (48, -47)),
        margin=(
            (72, -54), (80, -50), (80, -50), (76, -42), (76, -42), (83, -34), (83, -34), (77, -26), (77, -26),
            (82, -17), (82, -17), (75, -9), (75, -9), (77, 0), (77, 0), (68, 6), (66, 12),
        ),
        inner=((54, 16), (28, 12), (3, 6)),
        hind_top=((3, -2), (34, 0), (62, 8)),
        hind_margin=(
            (70, 14), (72, 20), (72, 20), (64, 26), (64, 26), (66, 36), (66, 36), (56, 40), (56, 40), (54, 51),
            (54, 51), (43, 51), (43, 51), (37, 60), (37, 60), (28, 55), (14, 50), (3, 30),
        ),
        across=(-6, 64),
        bands=(23, 55, 66),
        spot=(43, -18),
    ),
    "rounded": WingShape(
        costa=((3, -13), (18, -30), (44, -52)),
        margin=((70, -58), (86, -46), (88, -22), (80, 0), (66, 13)),
        inner=((50, 17), (26, 13), (3, 6)),
        hind_top=((3, -2), (34, 0), (58, 6)),
        hind_margin=((70, 20), (64, 48), (40, 64), (16, 54), (3, 30)),
        across=(-6, 64),
        bands=(23, 57, 69),
        spot=(44, -20),
    ),
}  # fmt: skip

BODY: tuple[Point, ...] = (
    (0, -29), (5, -29), (7, -24), (5, -21), (9, -17), (11, -10), (10, 0), (7, 7), (8, 14), (8, 28), (6, 42), (3, 51),
    (0, 53),
)  # fmt: skip
"""Right outline of head, thorax and abdomen."""
ANTENNA: tuple[Point, ...] = ((3, -25), (9, -38), (20, -50), (34, -60), (46, -66))
