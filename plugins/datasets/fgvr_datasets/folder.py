"""folder:PATH: images in folders by class, the folder's name being the label.

``PATH/label/image.jpg``, or ``PATH/test/label/image.jpg`` where the folders of `PATH` are named for splits.
"""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import image_files
from fgvr_bench.core.listing import FileListing, FileRow
from fgvr_bench.core.paths import at_home
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin
from fgvr_datasets._own import SPLITS

CARD = DatasetCard(
    name="folder:",
    title="images in folders by class",
    noun="objects",
    classes=None,
    licence="your own",
    options="clip",
    in_all=False,
)


class FolderDataset(Dataset):
    """Images below one folder; all its splits are listed on first use."""

    def __init__(self, root: Path, card: DatasetCard) -> None:
        self.card = card
        self.root: Path = root
        self.splits = _split_folders(root)
        """Split → its folder below `root`."""
        self._labels: tuple[str, ...] = ()
        self._listings: dict[str, FileListing] = {}

    def labels(self) -> Sequence[str]:
        """Return the names of the folders that hold images, of all splits together, sorted."""
        self._list()
        return self._labels

    def examples(self, split: str = "test") -> FileListing:
        """Return the images of a split; a folder without split folders is its own test split."""
        if split not in self.splits:
            raise UsageError(f"{self.root} has no split {split!r}; it has {' and '.join(sorted(self.splits))}.")
        self._list()
        return self._listings[split]

    def _list(self) -> None:
        if self._listings:
            return
        rows = {split: list(_rows(self.root, folder)) for split, folder in self.splits.items()}
        self._labels = tuple(sorted({row.label for split in rows.values() for row in split}))
        if not self._labels:
            raise DataInvalid(
                f"{self.root} has no folders of images.", hint="Put the images of each class into a folder."
            )
        self._listings = {
            split: FileListing(self.card.name, split, self.root, listed, self._labels, keyed_by_path=True)
            for split, listed in rows.items()
        }


def _rows(root: Path, start: str) -> Iterator[FileRow]:
    for below, name in image_files(root / start):
        label = unicodedata.normalize("NFC", below.partition("/")[0])
        if not label:
            raise DataInvalid(
                f"{root / start / name} lies in no class folder.",
                hint="Put the images of each class into a folder named for it.",
            )
        yield FileRow(f"{start}/{below}" if start else below, name, label)


def _folders(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataInvalid(f"the folder {place} cannot be read: {error.strerror or error}.") from error


def _split_folders(root: Path) -> dict[str, str]:
    """Return split → folder; only where every folder is named for a split are they taken for splits."""
    names = _folders(root)
    known = {name: split for split, spellings in SPLITS.items() for name in spellings}
    if not names or any(name.lower() not in known for name in names):
        return {"test": ""}
    splits: dict[str, str] = {}
    for name in names:
        split = known[name.lower()]
        if split in splits:
            raise DataInvalid(f"{root} has two folders for the split {split}: {splits[split]} and {name}.")
        splits[split] = name
    return splits


class FolderPlugin(DatasetPlugin):
    """Images in folders by class."""

    card = CARD
    takes_path = True

    def spelling(self, argument: str) -> str:
        """Return the path without what changes nothing: ``./birds/`` is ``birds``, and ``PATH#noun`` is ``PATH``.

        An absolute path stays one, for whoever reads the results may want to find the pictures by it.
        """
        path = argument if os.path.isdir(os.path.expanduser(argument)) else argument.partition("#")[0]
        return os.path.normpath(path)

    def open(self, roots: Sequence[Path], argument: str | None = None) -> FolderDataset:
        """Open the folder `argument`; ``PATH#birds`` asks about birds where else it says objects."""
        if not argument:
            raise UsageError("folder: needs a path.", hint="For example: --dataset folder:my-birds")
        path, _, noun = argument.partition("#") if not os.path.isdir(argument) else (argument, "", "")
        root = at_home(path)
        if not root.is_dir():
            raise DataNotFound(
                f"there is no folder {root}.", hint="Name a folder that holds a folder of images for each class."
            )
        root = root.resolve()
        name = root.name or "root"  # ids hold the folder's name, not its path, so that it may move
        card = dataclasses.replace(CARD, name=f"folder:{name}", title=f"images in {name}", noun=noun or CARD.noun)
        return FolderDataset(root, card)


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register folder:."""
    register(FolderPlugin())
