"""Where training finds the pictures: a dataset's own files, or PNG files written for those that are drawn."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fgvr_bench.core.files import atomic_writer
from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.core.names import slug
from fgvr_bench.core.progress import Progress
from fgvr_bench.errors import DataInvalid
from fgvr_bench.types import Example, FileImage

FOLDER = "images"


def picture_paths(examples: Sequence[Example], out: Path, progress: Progress) -> list[Path]:
    """Return the absolute path of each example's picture; those without a file are written below `out`.

    Raises:
        DataInvalid: a picture that has to be written cannot be drawn.
        FgvrError: it cannot be written.
    """
    paths = [_path(examples[place], out) for place in range(len(examples))]
    drawn = [place for place in range(len(examples)) if not isinstance(examples[place].image, FileImage)]
    if drawn:
        with progress("writing pictures", len(drawn)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda place: _write(examples[place], paths[place]), drawn):
                advance(1)
    return paths


def _path(example: Example, out: Path) -> Path:
    if isinstance(example.image, FileImage):
        return Path(os.path.abspath(example.image.path))
    *folders, name = example.example_id.split("/")
    return Path(os.path.abspath(out), FOLDER, *(slug(each) for each in folders), f"{slug(name)}.png")


def _write(example: Example, path: Path) -> None:
    try:
        image = decode_image(example.image.read())
    except (ImageInvalid, OSError) as error:
        raise DataInvalid(f"the picture of {example.example_id} cannot be drawn: {error}.") from error
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    with atomic_writer(path) as file:
        file.write(buffer.getvalue())
