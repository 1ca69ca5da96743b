"""Anonymous moths in memory: drawn once by many processes, at the size that the model looks at."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.miniature.architecture import PIXELS
from PIL import Image

from fgvr_bench.core.files import atomic_writer
from fgvr_bench.core.images import decode_image
from fgvr_bench.core.locks import lock
from fgvr_bench.types import Example, ImageSource
from fgvr_datasets._moth_species import Attributes
from fgvr_datasets.moth_24 import Moth24, anonymous_moths

CHUNK = 64


@dataclass(frozen=True)
class Moths:
    """Moths without names."""

    pixels: np.ndarray[Any, Any]
    """Bytes, shape (n, 96, 96, 3)."""
    attributes: list[Attributes]


def draw(images: Sequence[ImageSource], processes: int) -> np.ndarray[Any, Any]:
    """Draw pictures and scale them as the processor does; bytes, shape (n, 96, 96, 3)."""
    chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    if processes == 1:
        return np.concatenate([*map(_draw, chunks)])
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return np.concatenate([*pool.map(_draw, chunks)])


def anonymous(count: int, processes: int, cache: Path | None, start: int = 0) -> Moths:
    """Return the first `count` anonymous moths after `start`; pictures are kept in `cache` where one is given."""
    moths = list(anonymous_moths(count, start))
    attributes = [moth.attributes for moth in moths]
    path = cache / f"anonymous-{PIXELS}-{start}-{count}.npy" if cache else None
    if path is not None and path.exists():
        return Moths(np.load(path), attributes)
    pixels = draw([moth.image for moth in moths], processes)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, pixels)
    return Moths(pixels, attributes)


def named(
    split: str, per_species: int | None, processes: int, cache: Path | None = None
) -> tuple[np.ndarray[Any, Any], list[Example]]:
    """Return pictures and examples of a split, or the first few of each species of it; `cache` as for `anonymous`."""
    examples = list(Moth24().examples(split))
    each = len(examples) // 24
    if per_species is not None:
        examples = [example for place, example in enumerate(examples) if place % each < per_species]
    if cache is None:
        return draw([example.image for example in examples], processes), examples
    path = cache / f"{split}-{PIXELS}-{len(examples)}.npy"
    with lock(path.with_suffix(".lock"), "drawing pictures", waiting=lambda words: None):
        if not path.exists():
            pixels = draw([example.image for example in examples], processes)
            with atomic_writer(path) as file:
                np.save(file, pixels)
    return np.load(path), examples


def _draw(images: Sequence[ImageSource]) -> np.ndarray[Any, Any]:
    small = [decode_image(image.read()).resize((PIXELS, PIXELS), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in small])
