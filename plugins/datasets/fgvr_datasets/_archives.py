"""What the published datasets with annotation files share: finding their files below a root, and refusing wrong ones.

A dataset is accepted in the layout of its official archive, of FOCI-Benchmark's loader and of the published
option caches, with or without the archive's own folder: annotation files are looked for in every place that
one of them uses, and images are matched to the annotations by path or else by base name.
"""

from __future__ import annotations

import os
import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fgvr_bench.core.annotations import image_files
from fgvr_bench.core.listing import FileListing, FileRow
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin
from fgvr_datasets._facts import published_classes

SPLITS = ("test", "train")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an annotation file."""

    path: str
    """The image as annotated, below the image folder; the suffix may be absent."""
    label: str
    where: str
    """File and line, for messages."""
    metadata: tuple[tuple[str, str], ...] = ()


class ArchiveDataset(Dataset):
    """A dataset read from the files of its archive.  Annotations are read on first use, and kept."""

    image_folders: Mapping[str, tuple[str, ...]]
    """For each split the folders that may hold its images, relative to the root, best first."""

    def __init__(self, card: DatasetCard, root: Path, files: Sequence[Path], classes: Mapping[str, int]) -> None:
        self.card = card
        self.root: Path = root
        self.files = tuple(files)
        """The annotation files, in the order in which the plugin's `needed` names them."""
        self.classes = classes
        """The published labels with their number of test images."""
        self._labels: tuple[str, ...] | None = None
        self._listings: dict[str, FileListing] = {}

    @abstractmethod
    def read_labels(self) -> Sequence[tuple[str, str]]:
        """Return each label, in official order, with the file and line that names it."""

    @abstractmethod
    def read_split(self, split: str) -> Iterator[Entry]:
        """Yield the images of a split, as annotated."""

    def check_images(self, split: str, listing: FileListing) -> None:
        """Refuse images that are not the split's; where names alone cannot tell, a subclass looks closer."""

    def labels(self) -> Sequence[str]:
        """Return the class names in official order, after comparing them with the published ones."""
        if self._labels is None:
            where: dict[str, str] = {}
            for label, place in self.read_labels():
                if label not in self.classes:
                    raise DataInvalid(
                        f"{place} names the class {label!r}, which {self.card.name} does not have.",
                        hint="The file is of another version or another dataset; fetch the dataset again.",
                    )
                if label in where:
                    raise DataInvalid(f"{place} names the class {label!r}, which {where[label]} has named already.")
                where[label] = place
            absent = [label for label in self.classes if label not in where]
            if absent:
                raise DataInvalid(
                    f"{self.files[0]} has {len(where)} of the {len(self.classes)} classes of {self.card.name}: "
                    f"{absent[0]!r} is missing.",
                    hint="The file is truncated or of another version; fetch the dataset again.",
                )
            self._labels = tuple(where)
        return self._labels

    def examples(self, split: str = "test") -> FileListing:
        """Return the images of ``test`` or ``train``, every one of which is there and annotated as published."""
        if split not in SPLITS:
            raise UsageError(f"{self.card.name} has no split {split!r}; it has {' and '.join(SPLITS)}.")
        if split not in self._listings:
            labels = self.labels()
            entries = list(self.read_split(split))
            self._check_entries(split, entries)
            rows = self._match(split, entries)
            listing = FileListing(self.card.name, split, self.root, rows, labels)
            self.check_images(split, listing)
            self._listings[split] = listing
        return self._listings[split]

    def _check_entries(self, split: str, entries: Sequence[Entry]) -> None:
        labels = set(self.labels())
        odd = next((entry for entry in entries if entry.label not in labels), None)
        if odd is not None:
            raise DataInvalid(f"{odd.where} names the class {odd.label!r}, which {self.files[0]} does not list.")
        due = self.card.images[split]
        if len(entries) != due:
            last = f"; it ends with {entries[-1].where}" if entries else ""
            raise DataInvalid(
                f"{self.card.name} {split} is annotated for {len(entries)} images in {self.root}, "
                f"where {due} were published{last}.",
                hint="The list is truncated or of another version; fetch the dataset again.",
            )
        if split == "test":
            counts = Counter(entry.label for entry in entries)
            label = next((label for label in self.labels() if counts[label] != self.classes[label]), None)
            if label is not None:
                raise DataInvalid(
                    f"{self.card.name} test is annotated for {counts[label]} images of {label!r} in {self.root}, "
                    f"where {self.classes[label]} were published.",
                    hint="The annotation is of another version; fetch the dataset again.",
                )

    def _match(self, split: str, entries: Sequence[Entry]) -> Iterator[FileRow]:
        folder, index = self._image_index(split, entries)
        absent: list[Entry] = []
        for entry in entries:
            places = index.get(_name_key(entry.path), [])
            wanted = os.path.dirname(entry.path)
            exact = [place for place in places if place[0] == wanted] or places
            exact = [place for place in exact if place[1] == os.path.basename(entry.path)] or exact
            if len(exact) > 1:
                first, second = (f"{folder}/{place}/{name}".replace("//", "/") for place, name in exact[:2])
                raise DataInvalid(f"{entry.where} names {entry.path}, which could be {first} or {second}.")
            if not exact:
                absent.append(entry)
                continue
            below, name = exact[0]
            whole = "/".join(part for part in (folder, below) if part)
            yield FileRow(whole, os.path.basename(entry.path), entry.label, entry.where, dict(entry.metadata), name)
        if absent:
            raise DataInvalid(
                f"{absent[0].where} names the image {absent[0].path}, which is not below {self.root / folder} "
                f"({len(absent)} of {len(entries)} are absent).",
                hint="Unpack the archive again.",
            )

    def _image_index(self, split: str, entries: Sequence[Entry]) -> tuple[str, dict[str, list[tuple[str, str]]]]:
        """Return the folder that holds the split's images, and its files by base name."""
        nearest: tuple[str, dict[str, list[tuple[str, str]]]] | None = None
        for folder in self.image_folders[split]:
            if not (self.root / folder).is_dir():
                continue
            index: dict[str, list[tuple[str, str]]] = {}
            for below, name in image_files(self.root / folder):
                index.setdefault(_name_key(name), []).append((below, name))
            if all(_name_key(entry.path) in index for entry in entries):
                return folder, index
            if nearest is None or len(index) > len(nearest[1]):
                nearest = folder, index
        if nearest is None or not nearest[1]:
            looked = " or ".join(str(self.root / folder) for folder in self.image_folders[split])
            raise DataNotFound(
                f"{self.card.name} is annotated in {self.root}, but its {split} images are not there: "
                f"looked for {looked}.",
                hint=what_to_type(self.card),
            )
        return nearest


def _name_key(path: str) -> str:
    """Return what two spellings of one image's name share: no folder, no suffix, one Unicode form."""
    return unicodedata.normalize("NFC", os.path.splitext(os.path.basename(path))[0])


class ArchivePlugin(DatasetPlugin):
    """Declares a dataset of an official archive; a subclass is a card, names of files and a `dataset` class."""

    folders: tuple[str, ...] = ()
    """Names that the archive's own folder goes by, beside the dataset's key."""
    needed: tuple[tuple[str, ...], ...]
    """Sets of annotation files, relative to the dataset's folder; one whole set has to be there."""
    dataset: type[ArchiveDataset]

    def __init__(self, card: DatasetCard | None = None, classes: Mapping[str, int] | None = None) -> None:
        """Take the published facts, or others (`card` and `classes`: test images by label) for a smaller set."""
        if card is not None:
            self.card = card
        self._classes = classes

    def class_counts(self, split: str) -> Mapping[str, int]:
        """Return the published number of test images of each class."""
        return self.classes if split == "test" else {}

    @property
    def classes(self) -> Mapping[str, int]:
        """The published labels with their number of test images."""
        return self._classes if self._classes is not None else published_classes(self.card.name)

    def places(self, root: Path) -> list[Path]:
        """Return the folders below `root` in which the dataset may lie, best first."""
        return places(root, self.card.name, self.folders)

    def find(self, roots: Sequence[Path]) -> tuple[Path, tuple[Path, ...]] | None:
        """Return the dataset's folder and annotation files in the first place that has a whole set."""
        for root in roots:
            for place in self.places(root):
                for names in self.needed:
                    files = tuple(place / name for name in names)
                    if all(os.path.isfile(file) for file in files):
                        return place, files
        return None

    def present(self, roots: Sequence[Path]) -> str | None:
        """Return the folder that the annotation files are in."""
        found = self.find(roots)
        return str(found[0]) if found else None

    def open(self, roots: Sequence[Path], argument: str | None = None) -> ArchiveDataset:
        """Find the annotation files and compare the classes with the published ones."""
        found = self.find(roots)
        if found is None:
            raise DataNotFound(self._absence(roots), hint=what_to_type(self.card))
        opened = self.dataset(self.card, *found, self.classes)
        opened.labels()
        return opened

    def _absence(self, roots: Sequence[Path]) -> str:
        """Say where the annotation files were looked for, and what of them is there."""
        some = [
            (len(present), place, present, [name for name in names if name not in present])
            for root in roots
            for place in self.places(root)
            for names in self.needed
            if (present := [name for name in names if os.path.isfile(place / name)])
        ]
        if some:
            _, place, present, missing = max(some, key=lambda found: found[0])
            return (
                f"{self.card.name} is not whole: {place} has {', '.join(present)}, but there is no "
                f"{' and no '.join(str(place / name) for name in missing)}."
            )
        sets = " or ".join(" + ".join(names) for names in self.needed[:2])
        looked = ", ".join(str(root) for root in roots)
        folders = ", ".join((self.card.name, *self.folders))
        return (
            f"{self.card.name} is not on this machine. "
            f"Looked for {sets} in {looked} and in the folders {folders} there."
        )


def places(root: Path, name: str, folders: Sequence[str]) -> list[Path]:
    """Return where below `root` a dataset may lie that goes by `name`, and its archive's own folder by `folders`."""
    return [*(root / own for own in (name, *folders)), *(root / name / inner for inner in (*folders, name)), root]


def what_to_type(card: DatasetCard) -> str:
    """Return what a user does next to get a dataset that is not there."""
    if card.by_hand:
        return f"How to get it: fgvr-bench datasets fetch {card.name}; where it lies already: --data-root FOLDER."
    return f"Type: fgvr-bench datasets fetch {card.name}, or name the folder it lies in with --data-root."
