"""Features of a split's pictures, read off a model once and kept.

::

    FGVR_CACHE/features/<model>/<digest>/<first row>.npz     up to `SHARD` pictures, an array a kind of features

The folder is named after all that features depend on.  Rows stand in the order of `stratified_order`, so that a limit
takes a prefix; a file that is there is never read off the model again, and what was killed goes on behind its last one.
A picture that cannot be read has a row of NaN.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.ahead import read_ahead
from fgvr_bench.core.files import atomic_writer, digest, write_json
from fgvr_bench.core.free_words import FreeQuestion, book_of
from fgvr_bench.core.loading import BatchSource
from fgvr_bench.core.locks import lock
from fgvr_bench.core.names import slug
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.errors import FgvrError, OutOfMemory
from fgvr_bench.interfaces import Preparer
from fgvr_bench.types import Example, Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from fgvr_bench.engines.huggingface.features import FeatureReader

    Rows = NDArray[np.float64]

FORMAT = "fgvr-bench/features"
VERSION = 1
SHARD = 256
"""Pictures a file, which is what is held at once."""
QUESTION = "Which of these is shown in the image?"
"""Asked about every picture.  In most prompts it stands behind the picture's tokens, which do not see it then."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Features of some pictures on disk."""

    folder: Path
    labels: tuple[str, ...]
    """Of each picture."""

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, space: str) -> Rows:
        """Return the features of one kind, shape (pictures, dimensions); rows of NaN for pictures that failed."""
        import numpy as np

        parts = []
        for start in range(0, len(self), SHARD):
            with np.load(_file(self.folder, start)) as stored:
                parts.append(stored[space][: len(self) - start])
        found: Rows = np.concatenate(parts).astype(np.float64)
        return found


class Collector:
    """Reads features where none are kept; the model is loaded only then."""

    def __init__(
        self, load: Any, identity: Mapping[str, Any], model_name: str, batch: int | None, workers: int
    ) -> None:
        """Make a collector.

        Args:
            load: returns the `FeatureReader`; called once, when it is needed.
            identity: all that features depend on beside the pictures.
            model_name: for the folder's name.
            batch: pictures at once; None is the model's choice.
            workers: processes that read pictures ahead.
        """
        self._load, self._identity, self._name = load, dict(identity), model_name
        self._batch, self._workers = batch, workers
        self._reader: FeatureReader | None = None

    @property
    def reader(self) -> FeatureReader:
        """The model at work."""
        if self._reader is None:
            self._reader = self._load()
        return self._reader

    def collect(
        self, examples: Sequence[Example], data: Mapping[str, Any], what: str, progress: Progress = quiet
    ) -> Gallery:
        """Return the features of pictures, reading those that are not kept.

        Args:
            examples: in the order of their rows.
            data: names the split: dataset, digest and seed of the order.
            what: for the bar.
            progress: shows it.

        Raises:
            FgvrError: the model cannot be loaded or has no such features; not one picture fits the memory.
        """
        inputs = {**self._identity, "data": dict(data)}
        folder = cache_folder() / "features" / slug(self._name) / digest(inputs)[:12]
        with lock(folder.parent / f".{folder.name}.lock", what):
            write_json(folder / "features.json", {"format": FORMAT, "version": VERSION, "inputs": inputs})
            with progress(what, len(examples)) as advance:
                for start in range(0, len(examples), SHARD):
                    part = examples[start : start + SHARD]
                    if _kept(_file(folder, start)) < len(part):
                        self._write(part, _file(folder, start), advance)
                    else:
                        advance(len(part))
        return Gallery(folder, tuple(example.label for example in examples))

    def texts(self, texts: Sequence[str]) -> Rows:
        """Return the embeddings of texts; these are few, and read each time."""
        import numpy as np

        found: Rows = self.reader.read_texts(texts).astype(np.float64)
        return found

    def _write(self, examples: Sequence[Example], path: Path, advance: Any) -> None:
        import numpy as np

        size = self._batch or self.reader.batch_size
        batches = [list(range(start, min(start + size, len(examples)))) for start in range(0, len(examples), size)]
        book = book_of([FreeQuestion(each.example_id, QUESTION, each.image) for each in examples])
        source = BatchSource(book, batches, _Unjoined(self.reader.preparer))
        kept: dict[str, Any] = {}
        for prepared in read_ahead(source, self._workers, pin_memory=False):
            if prepared.stop is not None:
                raise prepared.stop
            good = [number for number in prepared.numbers if number not in prepared.failures]
            for space, values in (self._read(prepared.payload) if good else {}).items():
                if space not in kept:
                    kept[space] = np.full((len(examples), values.shape[1]), np.nan, values.dtype)
                kept[space][good] = values
            advance(len(prepared.numbers))
        if not kept:
            raise FgvrError(
                f"none of {len(examples)} pictures could be read, {examples[0].example_id} the first of them.",
                hint="Check them: fgvr-bench datasets verify",
            )
        with atomic_writer(path) as file:
            np.savez(file, **kept)

    def _read(self, items: list[Any]) -> dict[str, Any]:
        """Read features, of fewer pictures at once where they do not fit."""
        import numpy as np

        try:
            return dict(self.reader.read(items))
        except OutOfMemory:
            if len(items) == 1:
                raise
        halves = [self._read(half) for half in (items[: len(items) // 2], items[len(items) // 2 :])]
        return {space: np.concatenate([half[space] for half in halves]) for space in halves[0]}


class _Unjoined(Preparer):
    """Prepares items and leaves them apart: the reader joins those of one shape."""

    def __init__(self, preparer: Preparer) -> None:
        self._preparer = preparer

    def item(self, prompt: Prompt, image: Image) -> Any:
        return self._preparer.item(prompt, image)


def _file(folder: Path, start: int) -> Path:
    return folder / f"{start:07}.npz"


def _kept(path: Path) -> int:
    """Return how many pictures a file holds; none where it is absent or damaged."""
    import numpy as np

    try:
        with np.load(path) as stored:
            return len(stored[stored.files[0]]) if stored.files else 0
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return 0
