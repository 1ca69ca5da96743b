"""Which questions are alike, for a model that is fastest on batches of like ones: size of picture, length of text."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.types import ImageSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THREADS = 8
CHUNK = 1024
"""Images whose headers are read together."""
BITS = 20
"""Of each of height, width and length in a likeness."""
ORIENTATION = 274
"""EXIF tag; from 5 on a picture stands on its side."""


def likeness_of(book: QuestionBook, progress: Progress = quiet) -> NDArray[np.int64]:
    """Return a number an example, shape [examples]: near numbers are pictures of one shape with texts of like length.

    Only headers of image files are read; a picture that is no file, or none at all, counts as of no size.
    """
    import numpy as np

    found = np.empty(len(book.examples), np.int64)
    with (
        warnings.catch_warnings(action="ignore"),  # around the threads, which share it
        progress("reading sizes of images", len(found)) as advance,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for start in range(0, len(found), CHUNK):
            indices = range(start, min(start + CHUNK, len(found)))
            sizes = pool.map(_size, [book.examples[index].image for index in indices])
            for index, (width, height) in zip(indices, sizes, strict=True):
                text = book.prompt(book.question(index * book.permutations)).text
                found[index] = _packed(height, width, len(text))
            advance(len(indices))
    return found


def _packed(*parts: int) -> int:
    packed = 0
    for part in parts:
        packed = packed << BITS | min(part, 2**BITS - 1)
    return packed


def pixels_and_letters(likeness: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return of each likeness the pixels of the picture and the letters of the text."""
    parts = [likeness >> shift & (2**BITS - 1) for shift in (2 * BITS, BITS, 0)]
    return parts[0] * parts[1], parts[2]


def _size(source: ImageSource) -> tuple[int, int]:
    """Return width and height as people see the picture."""
    from PIL import Image

    opener = getattr(source, "open", None)
    if opener is None:
        return 0, 0
    try:
        with opener() as file, Image.open(file) as image:
            width, height = image.size
            return (height, width) if image.getexif().get(ORIENTATION, 1) >= 5 else (width, height)
    except Exception:  # whatever is wrong with it will be said when it is asked about
        return 0, 0
