"""Arithmetic that gives the same bits everywhere: whole numbers, a sine table, smooth noise.

No float is rounded on the way to a pixel, so nothing depends on a platform's libm, vector unit or compiler.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fgvr_datasets._moth_draws import seeded_bytes

Ints: TypeAlias = npt.NDArray[np.signedinteger[Any]]

TURN = 1024
"""Steps of a full turn."""
ONE = 1 << 14
"""1.0 in the sine table."""


def _sine_table() -> tuple[int, ...]:
    """Return sin(2πi / 1024) · 2¹⁴ for i < 1024, by the Taylor series in whole numbers of 2⁻⁹⁶."""
    pi = 248902613312231085230521944622  # π · 2⁹⁶, rounded
    quarter = []
    for step in range(TURN // 4 + 1):
        angle = 2 * pi * step // TURN
        term = total = angle
        for order in range(3, 61, 2):
            term = -(term * angle * angle >> 192) // (order * (order - 1))
            total += term
        quarter.append((total + (1 << 81)) >> 82)
    half = quarter + quarter[-2:0:-1]
    return tuple(half + [-value for value in half])


SINE = _sine_table()


def sine(step: int) -> int:
    """Return sin of `step` / 1024 turns, times 2¹⁴.

    >>> sine(0), sine(256), sine(128), sine(-256)
    (0, 16384, 11585, -16384)
    """
    return SINE[step % TURN]


def cosine(step: int) -> int:
    """Return cos of `step` / 1024 turns, times 2¹⁴."""
    return SINE[(step + TURN // 4) % TURN]


def isqrt(values: Ints) -> Ints:
    """Return the whole square root of each value, exactly (values up to 2³⁰)."""
    wide = values.astype(np.int64)
    root = np.sqrt(wide.astype(np.float64)).astype(np.int64)
    root -= root * root > wide
    root += (root + 1) * (root + 1) <= wide
    return root.astype(np.int32)


def smooth_noise(rows: int, columns: int, cell_y: int, cell_x: int, *words: str) -> Ints:
    """Return value noise from 0 to 255, shape (rows, columns), with random lattice points a cell apart."""
    lattice_rows, lattice_columns = rows // cell_y + 2, columns // cell_x + 2
    lattice = np.frombuffer(seeded_bytes(lattice_rows * lattice_columns, "noise", *words), np.uint8)
    grid = lattice.reshape(lattice_rows, lattice_columns).astype(np.int32)
    return _stretch(_stretch(grid, rows, cell_y).T, columns, cell_x).T


def _stretch(grid: Ints, length: int, cell: int) -> Ints:
    """Interpolate along the first axis with the weight 3t² - 2t³."""
    steps = np.arange(length, dtype=np.int32)
    t = (steps % cell << 8) // cell
    weight = (t * t * (768 - 2 * t) >> 16)[:, None]
    low = grid[steps // cell]
    stretched: Ints = low + ((grid[steps // cell + 1] - low) * weight >> 8)
    return stretched
