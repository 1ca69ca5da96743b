"""hf:NAME: datasets of the Hugging Face hub, and what the datasets library has saved, for image classification."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fgvr_bench import hookimpl
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.core.paths import at_home
from fgvr_bench.errors import DataInvalid, UsageError
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin
from fgvr_bench.types import Stamp
from fgvr_datasets._hub_loading import Loaded, is_local, load
from fgvr_datasets._hub_rows import RowImage
from fgvr_datasets._numbered import NumberedExamples
from fgvr_datasets._own import LABELS, Argument, find_column, remark_on_numbers, split_called, tidy

CARD = DatasetCard(
    name="hf:",
    title="datasets of the Hugging Face hub, or saved in its formats",
    noun="objects",
    classes=None,
    licence="that of the dataset",
    homepage="https://huggingface.co/datasets?task_categories=task_categories:image-classification",
    options="clip",
    in_all=False,
)
IMAGES = ("image", "img", "picture", "photo", "jpg", "png")
NAMED = ("label", "labels", "fine_label", *LABELS, "cls")
SETTINGS = ("image", "label", "config", "revision")
"""What may be set after ``#``: the names of two columns, and which configuration and version of the dataset."""


class HubDataset(Dataset):
    """Images and labels in columns of Arrow tables; labels are read on first use, images by whoever needs them."""

    def __init__(self, card: DatasetCard, loaded: Loaded, settings: Mapping[str, str]) -> None:
        self.card, self.root = card, loaded.folder
        self._commit = None if "revision" in settings else loaded.commit
        self._tables: dict[str, Any] = {}
        for name, table in loaded.tables.items():
            split = split_called(name)
            if split in self._tables:
                raise DataInvalid(f"{card.title} has two splits that mean {split}; one of them is {name!r}.")
            self._tables[split] = table
        features = next(iter(self._tables.values())).features
        self.image_column = _image_column(features, settings.get("image"), card.title)
        self.label_column = _label_column(features, self.image_column, settings.get("label"), card.title)
        names = getattr(features[self.label_column], "names", None)
        self._names = None if names is None else [tidy(name) for name in names]
        self._check_splits(features)
        self._examples: dict[str, NumberedExamples] = {}

    def _check_splits(self, features: Mapping[str, Any]) -> None:
        for split, table in self._tables.items():
            for column in (self.image_column, self.label_column):
                if table.features.get(column) != features[column]:
                    raise DataInvalid(f"{self.card.title}: column {column!r} is another in split {split}.")
            try:  # a damaged file is mapped into memory as it is, and leads reads astray
                table.select_columns([self.image_column, self.label_column]).data.validate(full=True)
            except ValueError as error:
                raise DataInvalid(f"{self.card.title}, {split}: its file is damaged: {error}.") from error
        odd = next((name for name in self._names or () if not name or (self._names or []).count(name) > 1), None)
        if odd is not None:
            raise DataInvalid(
                f"{self.card.title} names the class {odd!r} twice."
                if odd
                else f"{self.card.title} has a class without a name."
            )

    def sizes(self) -> str:
        """Return the splits with their numbers of images, in words."""
        return ", ".join(f"{len(table):,} {split}" for split, table in self._tables.items())

    def remarks(self) -> Sequence[str]:
        """Say which columns were taken for what, and which version of the dataset it is."""
        said = [f"images from column {self.image_column!r}, labels from {self.label_column!r}"]
        if self._commit is not None:
            said.append(f"it is the hub's commit {self._commit} (#revision=... names one)")
        return [*said, *remark_on_numbers(self.labels())]

    def labels(self) -> Sequence[str]:
        """Return the names of the classes as they are declared, or else the labels of all splits, sorted."""
        if self._names is None:
            self._names = sorted({label for split in self._tables for label in self._labels_of(split) if label})
        return self._names

    def examples(self, split: str = "test") -> NumberedExamples:
        """Return the rows of a split; the library's ``val`` and ``valid`` are ``validation``."""
        if split not in self._tables:
            has = " and ".join(sorted(self._tables))
            raise UsageError(f"{self.card.title} has no split {split!r}; it has {has}.", hint="Name one with --split.")
        if split not in self._examples:
            labels = self._labels_of(split)
            bare = next((row for row, label in enumerate(labels) if not label), None)
            if bare is not None:
                raise DataInvalid(
                    f"{self.card.title}, {split}: row {bare} has no label under {self.label_column!r}.",
                    hint="Test labels are often not published; --split takes another split.",
                )
            self._examples[split] = self._rows(split, labels)
        return self._examples[split]

    def _rows(self, split: str, labels: Sequence[str]) -> NumberedExamples:
        from datasets import Image, config
        from huggingface_hub.constants import HF_HUB_CACHE

        table = self._tables[split].select_columns([self.image_column])
        raw = table.cast_column(self.image_column, Image(decode=False))
        caches = (str(config.HF_DATASETS_CACHE), HF_HUB_CACHE)
        folders = tuple(os.path.realpath(folder) for folder in ((self.root,) if self.root else caches))
        stamp = Stamp.of_files(*(file["filename"] for file in table.cache_files))
        image = functools.partial(RowImage, raw, self.image_column, folders, stamp)
        return NumberedExamples(self.card.name, split, labels, image)

    def _labels_of(self, split: str) -> list[str]:
        """Return the label of each row; an empty text where there is none."""
        cells = self._tables[split].select_columns([self.label_column]).with_format("arrow")[:].column(0).to_pylist()
        if getattr(self._tables[split].features[self.label_column], "names", None) is None:
            return ["" if cell is None else tidy(str(cell)) for cell in cells]
        names = self._names or []
        return [names[cell] if cell is not None and 0 <= cell < len(names) else "" for cell in cells]


def _image_column(features: Mapping[str, Any], given: str | None, source: str) -> str:
    images = [name for name, feature in features.items() if _holds_images(feature)]
    if given is not None and given in features and given not in images:
        raise DataInvalid(f"{source}: column {given!r} holds no images.{_those(images)}")
    found = find_column("images", IMAGES, images or list(features), given, source) if images or given else None
    found = found or (images[0] if len(images) == 1 else None)
    if found is None:
        many = (
            f"images in several columns, {', '.join(images)}"
            if images
            else f"columns {', '.join(features)}, none of images"
        )
        raise DataInvalid(f"{source} has {many}.", hint="Name one: #image=COLUMN. csv: takes tables of paths.")
    return found


def _holds_images(feature: Any) -> bool:
    from datasets import Image

    if isinstance(feature, dict):  # as tables have it that were written without the library
        feature = feature.get("bytes")
    return isinstance(feature, Image) or getattr(feature, "dtype", "") in {"binary", "large_binary"}


def _label_column(features: Mapping[str, Any], image: str, given: str | None, source: str) -> str:
    from datasets import ClassLabel, Value

    single = [name for name, feature in features.items() if isinstance(feature, ClassLabel | Value) and name != image]
    if given is not None and given in features and given not in single:
        raise DataInvalid(f"{source}: column {given!r} holds no single label.{_those(single)}")
    named = [name for name in single if isinstance(features[name], ClassLabel)]
    found = find_column("labels", NAMED, named if named and given is None else single, given, source)
    found = found or (named[0] if len(named) == 1 else None)
    if found is None:
        raise DataInvalid(
            f"{source} has the columns {', '.join(features)}; none of them is known to hold labels.",
            hint="Name it: #label=COLUMN.",
        )
    return found


def _those(columns: Sequence[str]) -> str:
    return f" {did_you_mean('', columns)}" if columns else ""


class HubPlugin(DatasetPlugin):
    """Datasets of the Hugging Face hub, and what the datasets library has saved."""

    card = CARD

    def spelling(self, argument: str) -> str:
        """Return a path without what changes nothing, and the settings by name; the noun is left out."""
        read = _read_argument(argument)
        return read.spelt(os.path.normpath(read.place) if is_local(read.place) else read.place)

    def fetch(self, place: Path, argument: str) -> Sequence[str]:
        """Let the datasets library download into its own cache what is not there yet."""
        opened = self.open([], argument)
        return [f"{opened.card.title} is on this machine: {opened.sizes()}."]

    def open(self, roots: Sequence[Path], argument: str | None = None) -> HubDataset:
        """Open a folder, a Parquet or Arrow file, or a dataset of the hub; ``org/name#birds,label=species``."""
        read = _read_argument(argument or "")
        if not read.place:
            raise UsageError("hf: needs a name.", hint="For example: --dataset hf:organisation/name")
        settings = dict(read.settings or {})
        loaded = load(read.place, settings.get("config"), settings.get("revision"))
        # ids hold the hub's name, or a folder's without its path, so that it may move
        local = loaded.folder is not None
        name = at_home(read.place).resolve().name if local else read.place.replace("/", "--")
        card = dataclasses.replace(CARD, name=f"hf:{name}", title=f"hf:{read.place}", noun=read.noun or CARD.noun)
        return HubDataset(card, loaded, settings)


def _read_argument(argument: str) -> Argument:
    return Argument.read(argument, SETTINGS, lambda place: at_home(place).exists())


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register hf:."""
    register(HubPlugin())
