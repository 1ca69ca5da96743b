"""Image embeddings, kept: computed once for (dataset digest, encoder), a row an example.

A store is a file of float32 rows, appended batch by batch, so that interrupted work goes on where it stopped, and
a small JSON file beside it.  Rows of images that cannot be read are NaN.  Nothing is ever held for all images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.files import digest, parse_json, write_json
from fgvr_bench.core.locks import lock
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.errors import DataInvalid
from fgvr_bench.miners.encoder import Encoder
from fgvr_bench.miners.sharing import Beside, embedded
from fgvr_bench.types import Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fgvr_bench.interfaces import Dataset, MiningSettings

CHUNK = 1024
"""Rows that are looked at together."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The embeddings of a list of examples, on disk."""

    path: Path
    count: int
    dimensions: int
    unreadable: dict[int, str]
    """By position: why an image could not be read."""
    fresh: bool
    """Whether any of it was computed just now."""

    def chunks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (position of the first row, rows of shape (up to `CHUNK`, dimensions)).

        Rows are read, not mapped: mapped ones would count as this process's memory.
        """
        import numpy as np

        with self.path.open("rb") as file:
            for start in range(0, self.count, CHUNK):
                rows = min(CHUNK, self.count - start)
                data = file.read(rows * self.dimensions * 4)
                yield start, np.frombuffer(data, np.float32).reshape(rows, self.dimensions)


def image_embeddings(
    dataset: Dataset,
    examples: Sequence[Example],
    encoder: Encoder,
    settings: MiningSettings,
    progress: Callable[[int], None],
    fail_on_bad_image: bool = False,
    beside: Beside | None = None,
) -> Embeddings:
    """Return the embeddings of `examples`, computing what is not there yet.

    Args:
        dataset: where the examples are from.
        examples: sorted by id.
        encoder: what embeds them.
        settings: batch size, workers and the dataset's digest.
        progress: told of rows that are being computed, those of an interrupted time included; of none where all
            are there.
        fail_on_bad_image: refuse an unreadable image instead of noting it.
        beside: is shown every batch that is read, for what else its pixels are good for.

    Raises:
        DataInvalid: an image cannot be read, and that is to be fatal.
        FgvrError: the cache folder cannot be written to.
    """
    path = store_path(dataset, examples, encoder, settings)
    if (there := _finished(path, len(examples))) is None:
        with lock(path.with_suffix(".lock"), f"embedding images of {dataset.card.name}"):
            there = _finished(path, len(examples)) or _compute(
                path, examples, encoder, settings, progress, fail_on_bad_image, beside
            )
    if fail_on_bad_image and there.unreadable:
        raise _bad_image(examples, there.unreadable)
    return there


def are_embedded(dataset: Dataset, examples: Sequence[Example], encoder: Encoder, settings: MiningSettings) -> bool:
    """Say whether the embeddings of these examples by this encoder are all there."""
    return _finished(store_path(dataset, examples, encoder, settings), len(examples)) is not None


def store_path(dataset: Dataset, examples: Sequence[Example], encoder: Encoder, settings: MiningSettings) -> Path:
    """Return the file that holds the embeddings of these examples by this encoder."""
    ids = hashlib.sha256()
    for index in range(len(examples)):
        ids.update(examples[index].example_id.encode() + b"\0")
    known = settings.dataset_digest or dataset_digest(dataset, examples[0].split)
    key = digest({"dataset_digest": known, "examples": ids.hexdigest(), "encoder": encoder.identity})
    return cache_folder() / "embeddings" / f"{key[:32]}.f32"


def _finished(path: Path, count: int) -> Embeddings | None:
    try:
        notes = parse_json(path.with_suffix(".json").read_bytes())
        dimensions = int(notes["dimensions"])
        whole = bool(notes["complete"]) and path.stat().st_size == count * dimensions * 4
        unreadable = {int(index): str(reason) for index, reason in notes["unreadable"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Embeddings(path, count, dimensions, unreadable, fresh=False) if whole else None


def _compute(
    path: Path,
    examples: Sequence[Example],
    encoder: Encoder,
    settings: MiningSettings,
    progress: Callable[[int], None],
    fail_on_bad_image: bool,
    beside: Beside | None,
) -> Embeddings:
    dimensions = encoder.labels(["x"], ["{label}"]).shape[1]  # that of texts; the first images may be unreadable
    done, unreadable = _resume(path, dimensions)
    progress(done)
    todo = range(done, len(examples))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if done else "wb") as file:
        file.truncate(done * dimensions * 4)
        file.seek(done * dimensions * 4)
        for batch in embedded(examples, todo, encoder, settings, dimensions, beside):
            if batch.unreadable:
                unreadable |= batch.unreadable
                _note(path, dimensions, unreadable, complete=False)
                if fail_on_bad_image:
                    raise _bad_image(examples, unreadable)
            file.write(batch.rows.tobytes())
            file.flush()
            progress(len(batch.indices))
    _note(path, dimensions, unreadable, complete=True)
    return Embeddings(path, len(examples), dimensions, unreadable, fresh=True)


def _resume(path: Path, dimensions: int) -> tuple[int, dict[int, str]]:
    """Return how many whole rows an interrupted time left, and which images it could not read."""
    import numpy as np

    try:
        unreadable = {}
        if path.with_suffix(".json").exists():
            notes = parse_json(path.with_suffix(".json").read_bytes())
            unreadable = {int(index): str(reason) for index, reason in notes["unreadable"].items()}
        done = path.stat().st_size // (dimensions * 4)
        with path.open("rb") as file:
            while done:  # after a power cut the end of a file may be zeros
                file.seek((done - 1) * dimensions * 4)
                row = np.frombuffer(file.read(dimensions * 4), np.float32)
                if np.isnan(row).all() or abs(float(np.linalg.norm(row)) - 1) < 1e-3:
                    break
                done -= 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, {}
    return done, {index: reason for index, reason in unreadable.items() if index < done}


def _note(path: Path, dimensions: int, unreadable: dict[int, str], complete: bool) -> None:
    notes = {str(index): reason for index, reason in sorted(unreadable.items())}
    write_json(path.with_suffix(".json"), {"dimensions": dimensions, "unreadable": notes, "complete": complete})


def _bad_image(examples: Sequence[Example], unreadable: dict[int, str]) -> DataInvalid:
    first = min(unreadable)
    more = f" ({len(unreadable) - 1} more cannot be read either)" if len(unreadable) > 1 else ""
    return DataInvalid(
        f"the image of {examples[first].example_id} cannot be read: {unreadable[first]}{more}.",
        hint="Mend it, or go on without it: --on-bad-image skip",
    )
