"""What ImageNet and the sets after it share: folders named by WordNet synset, and names of the 1,000 classes."""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fgvr_bench.core.annotations import image_files
from fgvr_bench.core.listing import FileListing, FileRow
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin
from fgvr_datasets._archives import places, what_to_type

SYNSET = re.compile(r"n\d{8}")


@functools.cache
def class_names() -> Mapping[str, str]:
    """Return synset → name of the 1,000 classes, in official order, as FOCI-Benchmark asks about them.

    The names are those of CLIP's authors, which open_clip carries.  They call two pairs of synsets alike (missile,
    sunglasses); both of a pair go by their first WordNet lemma, which timm carries.
    """
    from fgvr_bench.engines.torchvision_ops import ensure

    ensure()
    from open_clip import IMAGENET_CLASSNAMES
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    named = dict(zip(info.label_names(), IMAGENET_CLASSNAMES, strict=True))
    count = Counter(named.values())
    return {
        synset: name if count[name] == 1 else info.label_name_to_description(synset).partition(",")[0]
        for synset, name in named.items()
    }


class SynsetDataset(Dataset):
    """Images in folders named by synset; which there are is looked up on first use."""

    def __init__(self, card: DatasetCard, root: Path, folders: Mapping[str, Path], keyed_by_path: bool) -> None:
        self.card = card
        self.root: Path = root
        self.folders = folders
        """Split → the folder that holds its synsets."""
        self._keyed_by_path = keyed_by_path
        self._labels: tuple[str, ...] = ()
        self._listings: dict[str, FileListing] = {}

    def labels(self) -> Sequence[str]:
        """Return the names of the classes that have test images, in the official order of the 1,000."""
        if not self._labels:
            self.examples()
        return self._labels

    def examples(self, split: str = "test") -> FileListing:
        """Return the images of a split, as many as were published."""
        if split not in self.card.images:
            raise UsageError(f"{self.card.name} has no split {split!r}; it has {' and '.join(self.card.images)}.")
        if split not in self.folders:
            raise DataNotFound(
                f"{self.card.name} is in {self.root}, but without its {split} images.", hint=what_to_type(self.card)
            )
        if split not in self._listings:
            rows = list(self.rows(split))
            labels = self._check(split, rows)
            self._labels = self._labels or labels
            listing = FileListing(
                self.card.name, split, self.folders[split], rows, labels, keyed_by_path=self._keyed_by_path
            )
            self._listings[split] = listing
        return self._listings[split]

    def rows(self, split: str) -> Iterator[FileRow]:
        """Yield the images below a split's folder; the synset is the first folder on their way."""
        folder = self.folders[split]
        for below, name in sorted(image_files(folder)):
            yield FileRow(below, name, self.name_of(below.partition("/")[0], f"{folder / below / name}"))

    def name_of(self, synset: str, where: str) -> str:
        """Return the name of a synset.

        Raises:
            DataInvalid: it is none of the 1,000; the message begins with `where`.
        """
        name = class_names().get(synset)
        if name is None:
            known = "in no folder of a class" if not synset else f"of {synset!r}, which is no class of ImageNet"
            raise DataInvalid(f"{where} is {known}.", hint="Folders of classes are named as n01440764 is.")
        return name

    def _check(self, split: str, rows: Sequence[FileRow]) -> tuple[str, ...]:
        """Compare what is there with what was published, and return the classes in official order."""
        found = {row.label for row in rows}
        labels = tuple(name for name in class_names().values() if name in found)
        due, classes = self.card.images[split], self.card.classes
        if len(rows) != due or len(labels) != classes:
            raise DataInvalid(
                f"{self.folders[split]} holds {len(rows):,} images of {len(labels):,} classes; "
                f"{self.card.name} {split} has {due:,} of {classes:,}.",
                hint="Part of it is missing, or it is another dataset; unpack the archive again.",
            )
        return labels


class SynsetPlugin(DatasetPlugin):
    """Declares a dataset of folders by synset; a subclass is a card, names of folders and how its files are called."""

    folders: tuple[str, ...] = ()
    """Names that the archive's own folder goes by, beside the dataset's key."""
    inner: Mapping[str, tuple[str, ...]]
    """For each split the folders that may hold its images, below the dataset's own; best first."""
    called: Mapping[str, re.Pattern[str]]
    """For each split what names of its files look like: ImageNet's kin share their folders' names."""
    keyed_by_path = True
    """Whether ids hold the synset, for sets whose classes use the same file names."""
    dataset = SynsetDataset

    def __init__(self, card: DatasetCard | None = None) -> None:
        """Take the published card, or another one for a smaller set."""
        if card is not None:
            self.card = card

    def find(self, roots: Sequence[Path]) -> tuple[Path, dict[str, Path]] | None:
        """Return the first place with test images, and the folder of each split there."""
        for root in roots:
            for place in places(root, self.card.name, self.folders):
                found = {split: folder for split in self.inner if (folder := self._folder(place, split))}
                if "test" in found:
                    return place, found
        return None

    def _folder(self, place: Path, split: str) -> Path | None:
        """Return the folder below `place` that holds a split: it, or its first class, has files that are called so."""
        for folder in (place / inner for inner in self.inner[split]):
            names = _names(folder)
            classes = [name for name in names if SYNSET.fullmatch(name)]
            if any(map(self.called[split].fullmatch, _names(folder / min(classes)) if classes else names)):
                return folder
        return None

    def present(self, roots: Sequence[Path]) -> str | None:
        """Return the folder that the images are in."""
        found = self.find(roots)
        return str(found[0]) if found else None

    def open(self, roots: Sequence[Path], argument: str | None = None) -> SynsetDataset:
        """Find the folders; the images in them are listed on first use."""
        found = self.find(roots)
        if found is None:
            looked = ", ".join(map(str, roots))
            inner = ", ".join(repr(folder or ".") for folder in self.inner["test"])
            raise DataNotFound(
                f"{self.card.name} is not on this machine. Looked in {looked} and in the folders "
                f"{', '.join((self.card.name, *self.folders))} there for images in folders by class, below {inner}.",
                hint=what_to_type(self.card),
            )
        return self.dataset(self.card, *found, self.keyed_by_path)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
