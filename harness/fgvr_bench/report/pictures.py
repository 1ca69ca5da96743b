"""Thumbnails of a dataset's images: made once for all runs, kept in the cache for the next report."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fgvr_bench.core.ahead import cores
from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.files import atomic_writer
from fgvr_bench.core.host import Host
from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.core.names import slug
from fgvr_bench.core.paths import cache_folder, data_roots
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.results import Column
from fgvr_bench.errors import DataInvalid, FgvrError
from fgvr_bench.interfaces import Dataset
from fgvr_bench.types import Example

SIDE = 240
"""Longest side of a picture, in pixels."""
QUALITY = 76
IN_A_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Album:
    """The images of one split that some questions are about."""

    dataset: Dataset
    split: str
    digest: str
    """Digest of the split: pictures of other images are never shown."""
    side: int = SIDE

    @property
    def name(self) -> str:
        """Return the folder's name, of a report and of the cache."""
        return f"{slug(self.dataset.card.name)}-{slug(self.split)}-{self.digest[:8]}-{self.side}"

    def places(self, example_ids: Sequence[str]) -> dict[str, int]:
        """Return the place of each of these examples in the split."""
        wanted = set(example_ids)
        examples = self.dataset.examples(self.split)
        ids = ((place, examples[place].example_id) for place in range(len(examples)))
        return {example_id: place for place, example_id in ids if example_id in wanted}

    def thumbnails(self, places: Sequence[int], progress: Progress = quiet) -> Iterator[tuple[int, Path | None]]:
        """Yield the file in the cache of each picture, None where its image cannot be read."""
        examples = self.dataset.examples(self.split)
        folder = cache_folder() / "thumbnails" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        pending: deque[tuple[int, Future[Path | None]]] = deque()
        most = 4 * cores()
        with ThreadPoolExecutor(cores()) as pool, progress(f"pictures of {self.name}", len(places)) as advance:
            for place in places:
                pending.append((place, pool.submit(_thumbnail, examples[place], folder / file_name(place), self.side)))
                if len(pending) > most:
                    yield _taken(pending)
                    advance(1)
            while pending:
                yield _taken(pending)
                advance(1)


def file_name(place: int) -> str:
    """Return the path of a picture below its album; no folder grows too large for a file system.

    >>> file_name(8579)
    '8/8579.webp'
    """
    return f"{place // IN_A_FOLDER}/{place}.webp"


def open_album(
    host: Host, column: Column, roots: Sequence[Path], side: int = SIDE, progress: Progress = quiet
) -> Album:
    """Find the images that the runs of a column were asked about.

    Raises:
        FgvrError: the dataset is not known or not there, or has other images now.
    """
    plugin, argument = host.datasets.find(column.dataset)
    dataset = plugin.open(data_roots(roots), argument)
    found = dataset_digest(dataset, column.split, progress)
    if found != column.images:
        raise DataInvalid(
            f"{column.dataset} {column.split} is not what the runs saw: its digest is {found[:12]}, "
            f"theirs {column.images[:12]}."
        )
    return Album(dataset, column.split, found, side)


def put(source: Path, target: Path) -> None:
    """Put a thumbnail into a report: the same file where the disk can do so, a copy elsewhere.

    Raises:
        FgvrError: it cannot be written.
    """
    if target.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    except OSError as error:
        raise FgvrError(f"cannot write {target}: {error.strerror or error}.") from error


def shrunk(example: Example, side: int) -> bytes | None:
    """Return a small WebP of an example's image, or None where it cannot be read."""
    try:
        image = decode_image(example.image.read())
    except (ImageInvalid, OSError):
        return None
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=2)
    return buffer.getvalue()


def _taken(pending: deque[tuple[int, Future[Path | None]]]) -> tuple[int, Path | None]:
    place, future = pending.popleft()
    return place, future.result()


def _thumbnail(example: Example, path: Path, side: int) -> Path | None:
    if path.exists():
        with contextlib.suppress(OSError):
            if path.stat().st_size:
                return path
    data = shrunk(example, side)
    if data is None:
        return None
    with atomic_writer(path) as file:
        file.write(data)
    return path
