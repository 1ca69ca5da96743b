"""torchvision:NAME: any dataset of torchvision for image classification, read by torchvision's own class."""

from __future__ import annotations

import dataclasses
import functools
import posixpath
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fgvr_bench import hookimpl
from fgvr_bench.core.fetch import Offline, is_offline
from fgvr_bench.core.listing import FileListing, FileRow
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin
from fgvr_bench.types import Example
from fgvr_datasets._archives import what_to_type
from fgvr_datasets._numbered import NumberedExamples
from fgvr_datasets._own import SPLITS, Argument, remark_on_numbers
from fgvr_datasets._torchvision import (
    PAGE,
    SampleImage,
    Samples,
    below,
    class_names,
    kind_called,
    make,
    read_settings,
    settings_of,
)

CARD = DatasetCard(
    name="torchvision:",
    title="datasets of torchvision",
    noun="objects",
    classes=None,
    licence="that of the dataset",
    homepage=PAGE,
    options="clip",
    in_all=False,
)


class VisionDataset(Dataset):
    """A dataset of torchvision, a split of which is made when it is asked for."""

    def __init__(self, card: DatasetCard, kind: Any, root: Path, settings: Mapping[str, Any]) -> None:
        self.card, self.root = card, root
        self._kind, self._settings = kind, settings
        self._made: dict[str, Any] = {}
        self._examples: dict[str, Sequence[Example]] = {}
        first = next((made for split in reversed(SPLITS) if (made := self._of(split)) is not None), None)
        if first is None:
            raise UsageError(f"{card.title} has no split that is called test, validation or train.")
        self._labels = class_names(first) or [str(number) for number in range(max(Samples.of(first).targets) + 1)]
        odd = next((name for name in self._labels if not name or self._labels.count(name) > 1), None)
        if odd is not None:
            raise DataInvalid(f"{card.title} has two classes {odd!r}.")

    def _of(self, split: str) -> Any | None:
        """Return torchvision's dataset of a split; None where there is none."""
        if split not in self._made:
            self._made[split] = make(self._kind, Path(str(self.root)), split, self._settings)
        return self._made[split]

    def remarks(self) -> Sequence[str]:
        """Say what is not as it is elsewhere."""
        whole = [] if self._of("train") is not None else ["torchvision parts it into no splits, so all of it is test"]
        return [*whole, *remark_on_numbers(self.labels())]

    def labels(self) -> Sequence[str]:
        """Return the classes in torchvision's order; numbers where it has no names for them."""
        return self._labels

    def examples(self, split: str = "test") -> Sequence[Example]:
        """Return the samples of a split: files under their paths, others under their numbers."""
        made = self._of(split)
        if made is None:
            has = " and ".join(name for name in SPLITS if self._of(name) is not None)
            raise UsageError(f"{self.card.title} has no split {split!r}; it has {has}.", hint="Name one with --split.")
        if split not in self._examples:
            samples, labels, root = Samples.of(made), self._labels, Path(str(self.root))
            named = [labels[target] for target in samples.targets]
            if samples.paths is None:
                image = functools.partial(SampleImage, made)
                self._examples[split] = NumberedExamples(self.card.name, split, named, image)
            else:
                rows = (
                    FileRow(posixpath.dirname(path), posixpath.basename(path), label)
                    for path, label in zip(below(root, samples.paths), named, strict=True)
                )
                self._examples[split] = FileListing(self.card.name, split, root, rows, labels, keyed_by_path=True)
        return self._examples[split]


class VisionPlugin(DatasetPlugin):
    """Datasets of torchvision."""

    card = CARD
    takes_path = False

    def spelling(self, argument: str) -> str:
        """Return the exact name of the class, and the settings by name; the noun is left out."""
        name, _, read = _read_argument(argument)
        return read.spelt(name)

    def open(self, roots: Sequence[Path], argument: str | None = None) -> VisionDataset:
        """Let torchvision look below each root for ``NAME``; ``DTD#textures,partition=2`` sets what its class takes."""
        card, kind, settings = _asked(argument or "")
        said = ""
        for root in roots:
            for place in (root / kind.__name__, root):
                if place.is_dir():
                    try:
                        return VisionDataset(card, kind, place, settings)
                    except DataNotFound as error:
                        said = f" torchvision says: {error.message}"
        raise DataNotFound(
            f"{card.name} is not in {' or '.join(map(str, roots))}, nor in a folder {kind.__name__} there.{said}",
            hint=what_to_type(card),
        )

    def fetch(self, place: Path, argument: str) -> Sequence[str]:
        """Let torchvision download every split."""
        card, kind, settings = _asked(argument)
        if is_offline():
            raise Offline(f"{card.name} has to be downloaded, but FGVR_OFFLINE or HF_HUB_OFFLINE is set.")
        folder = place / kind.__name__
        folder.mkdir(parents=True, exist_ok=True)
        try:
            made = {split: make(kind, folder, split, settings, download=True) for split in SPLITS}
        except DataNotFound as error:
            raise DataNotFound(
                f"{card.name} cannot be downloaded; torchvision says: {error.message}", hint=f"See: {PAGE}"
            ) from error
        sizes = ", ".join(f"{len(found):,} {split}" for split, found in made.items() if found is not None)
        return [f"{card.name} is in {folder}: {sizes}."]


def _asked(argument: str) -> tuple[DatasetCard, Any, dict[str, Any]]:
    """Return the card of what was asked for, its class, and the settings that it is made with."""
    name, kind, read = _read_argument(argument)
    title = f"torchvision:{name}"
    card = dataclasses.replace(CARD, name=title, title=title, noun=read.noun or CARD.noun)
    return card, kind, read_settings(kind, read.settings or {})


def _read_argument(argument: str) -> tuple[str, Any, Argument]:
    """Return the exact name, the class, and what was set."""
    name = argument.partition("#")[0]
    if not name:
        raise UsageError("torchvision: needs a name.", hint="For example: --dataset torchvision:EuroSAT")
    exact, kind = kind_called(name)
    return exact, kind, Argument.read(argument, settings_of(kind), lambda place: False)


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register torchvision:."""
    register(VisionPlugin())
