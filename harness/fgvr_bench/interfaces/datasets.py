"""What a dataset plugin provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fgvr_bench.errors import UsageError
from fgvr_bench.types import Example


@dataclass(frozen=True, slots=True)
class Download:
    """A file that ``datasets fetch`` gets from a dataset's official page."""

    url: str
    """Where it is had from."""
    checksum: str | None
    """``md5:...`` or ``sha256:...`` as published; None where nobody published one."""
    size: int
    """Bytes, for the check of free space; about right is enough."""
    into: str = ""
    """Folder below the dataset's own that it is unpacked or put into."""
    unpack: bool = True
    """Whether it is an archive (.tar, .tar.gz, .tgz, .zip)."""


@dataclass(frozen=True, slots=True)
class PublishedOptions:
    """An option set that others published: a JSON file of labels, images and options, truth first."""

    url: str
    """Where it is downloaded from."""
    sha256: str
    """The file's SHA-256, as 64 hexadecimal digits."""
    split: str = "test"
    """The split that it was made for."""
    k: int = 4
    """Choices a question."""
    model: str = ""
    """CLIP model that it was mined with, in open_clip's words."""
    weights: str = ""
    """Weights of that model."""


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """What a dataset is, known without its files."""

    name: str
    """The key users type, for example ``bird-200``."""
    title: str
    """The name its authors gave it."""
    noun: str
    """Plural noun of the question: ``Which of these {noun} is shown in the image?``."""
    classes: int | None
    """Number of classes; None where only the files tell (``folder:``)."""
    images: Mapping[str, int] = field(default_factory=dict)
    """Number of images of each split, as published."""
    licence: str = "unknown"
    """Under which licence its images may be used: an SPDX identifier, or words."""
    citation: str = ""
    """Whom to cite for it."""
    homepage: str = ""
    """Page to download from."""
    aliases: tuple[str, ...] = ()
    """Other names that users may type."""
    options: str = "clip"
    """The option set that a run takes by default: ``published`` or the name of a miner."""
    in_all: bool = True
    """Whether ``--dataset all`` includes it."""
    downloads: tuple[Download, ...] = ()
    """Where its files can be had without a person doing anything."""
    by_hand: str = ""
    """What a person has to do to get it, where no direct download exists."""
    published: PublishedOptions | None = None
    """The option set behind ``options="published"``."""


class Dataset(ABC):
    """A dataset whose files are there.  Opening one reads annotations, never images."""

    card: DatasetCard
    """What it is; usually the plugin's own card."""
    root: Path | None
    """Folder that it was found in; None for a dataset that makes its own images."""

    @abstractmethod
    def labels(self) -> Sequence[str]:
        """Return all class names, in the published order, spelt as published."""

    @abstractmethod
    def examples(self, split: str = "test") -> Sequence[Example]:
        """Return the examples of a split, sorted by ``example_id``.

        May be lazy (built when indexed): the harness indexes, never copies.

        Raises:
            UsageError: there is no such split.
        """

    def display(self, label: str) -> str:
        """Return the label as a page shows it (models are always asked with the published spelling)."""
        return label.replace("_", " ")

    def description(self, label: str) -> str | None:
        """Return what tells this class from its siblings, in words, where the dataset knows."""
        return None

    def taxonomy(self, label: str) -> tuple[str, ...]:
        """Return the ranks above the class, coarse to fine, for example ``("Wainscot",)``; empty if unknown."""
        return ()

    def remarks(self) -> Sequence[str]:
        """Return what a user should know of how the files were read, a sentence each without its full stop: which
        columns were taken for what, where names come from.  Runs and ``datasets verify`` say it."""
        return ()

    def source_digest(self, split: str) -> str | None:
        """Return a digest that changes whenever an image or label of the split does, or None.

        Only for a dataset that can vouch for its images without reading them (one that draws them, with the
        pixels pinned by a test).  None lets the harness read and hash every image, once, and cache it.
        """
        return None


class ListedDataset(Dataset):
    """A dataset whose examples are all at hand: give it the examples of all splits, in any order.

    For a dataset of millions of images write a `Dataset` whose ``examples`` are lazy.
    """

    def __init__(
        self,
        card: DatasetCard,
        examples: Iterable[Example],
        labels: Sequence[str] | None = None,
        root: Path | None = None,
    ) -> None:
        """Sort the examples by id.

        Args:
            card: the plugin's card.
            examples: those of all splits.
            labels: all class names in published order; by default those of the examples, sorted.
            root: the folder that the files are in, where there are any.
        """
        self.card, self.root = card, root
        self._examples: dict[str, list[Example]] = {}
        for example in sorted(examples, key=lambda example: example.example_id):
            self._examples.setdefault(example.split, []).append(example)
        found = {example.label for split in self._examples.values() for example in split}
        self._labels = tuple(labels) if labels is not None else tuple(sorted(found))

    def labels(self) -> Sequence[str]:
        return self._labels

    def examples(self, split: str = "test") -> Sequence[Example]:
        if split not in self._examples:
            has = " and ".join(sorted(self._examples)) or "none"
            raise UsageError(f"{self.card.name} has no split {split!r}; it has {has}.")
        return self._examples[split]


class DatasetPlugin(ABC):
    """How a dataset is declared."""

    card: DatasetCard
    """What is known of the dataset before it is opened."""
    takes_path: bool | None = None
    """Whether a path follows the colon of its name, up to a ``#``; in ``--config FILE`` it starts from the file.  None
    for a name that may be either: it is a path where something lies there."""

    @abstractmethod
    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        """Find the dataset below one of `roots` and return it.

        ``argument`` is what follows the colon of a name such as ``folder:PATH``.

        Raises:
            DataNotFound: says for each root where it looked, and what to type.
            DataInvalid: files are there and wrong; names file and line.
        """

    def fetch(self, place: Path, argument: str) -> Sequence[str]:
        """Bring to this machine what a name with an argument stands for, below `place` or where its own library keeps
        such things; return a sentence for each thing done.  ``datasets fetch`` calls it.

        Raises:
            UsageError: there is nothing to fetch, as for every plugin that does not say otherwise.
        """
        raise UsageError(
            f"{self.card.name} takes what is on this machine already; there is nothing to fetch.",
            hint=f"Look at it: fgvr-bench datasets verify {self.card.name}{argument}",
        )

    def spelling(self, argument: str) -> str:
        """Return the one spelling of an argument that may be typed in several ways; runs go by it."""
        return argument

    def present(self, roots: Sequence[Path]) -> str | None:
        """Say in a few words where the files are, or return None where they are absent; reads none of them."""
        return None

    def class_counts(self, split: str) -> Mapping[str, int]:
        """Return the published number of images of each class; empty where it is not known."""
        return {}
