"""csv:PATH: images that a table lists, one a row: a path, a label and, where there are several, a split.

The table is CSV, TSV, JSON Lines or Parquet.  Its columns are found by the names that are usual for them, and said.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.core.listing import FileListing, FileRow
from fgvr_bench.core.paths import at_home
from fgvr_bench.core.tables import Table
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin
from fgvr_datasets._own import LABELS, Argument, find_column, remark_on_numbers, split_called, tidy

CARD = DatasetCard(
    name="csv:",
    title="images listed in a table",
    noun="objects",
    classes=None,
    licence="your own",
    options="clip",
    in_all=False,
)
PATHS = (
    "path",
    "file_path",
    "filepath",
    "image_path",
    "img_path",
    "image",
    "img",
    "filename",
    "file_name",
    "file",
    "image_file",
    "image_name",
    "relative_path",
)
SPLITS = ("split", "set", "subset", "partition")
SETTINGS = ("path", "label", "split", "images")
"""What may be set after ``#``: the names of three columns, and the folder that paths start from."""


@dataclass(slots=True)
class _Members:
    """The images of one split as they are read: as numbers and short texts, for there may be millions."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    numbers: array[int] = field(default_factory=lambda: array("Q"))
    """Where each stands in the table."""


class TableDataset(Dataset):
    """Images that a table lists; it is read on first use, and their files are looked for when a split is asked for."""

    def __init__(self, table: Table, root: Path, card: DatasetCard, settings: dict[str, str]) -> None:
        self.card, self.root, self.table = card, root, table
        self._settings = settings
        columns, name = table.columns, str(table.path)
        self.path_column = self._required("an image's path", PATHS, settings.get("path"), "path")
        self.label_column = self._required("labels", LABELS, settings.get("label"), "label")
        self.split_column = find_column("splits", SPLITS, columns, settings.get("split"), name)
        self._labels: tuple[str, ...] = ()
        self._members: dict[str, _Members] = {}
        self._listings: dict[str, FileListing] = {}

    def _required(self, what: str, usual: Sequence[str], given: str | None, key: str) -> str:
        columns, name = self.table.columns, str(self.table.path)
        found = find_column(what, usual, columns, given, name)
        if found is None:
            raise DataInvalid(
                f"{name} has the columns {', '.join(columns)}; none of them is known to hold {what} "
                f"({', '.join(usual[:4])} ...).",
                hint=f"Name it: --dataset csv:{name}#{key}=COLUMN. The first line of a table names its columns.",
            )
        return found

    def remarks(self) -> Sequence[str]:
        """Say which columns were taken for what."""
        split = f"splits from {self.split_column!r}" if self.split_column else "no splits, so all of it is test"
        said = f"images from column {self.path_column!r}, labels from {self.label_column!r}, {split}"
        return [said, *remark_on_numbers(self.labels())]

    def labels(self) -> Sequence[str]:
        """Return the labels of all splits together, sorted."""
        self._read()
        return self._labels

    def examples(self, split: str = "test") -> FileListing:
        """Return the images of a split, every one of which is there; a table without splits is its own test split."""
        self._read()
        if split not in self._members:
            has = " and ".join(sorted(self._members))
            raise UsageError(f"{self.table.path} has no split {split!r}; it has {has}.", hint="Name one with --split.")
        if split not in self._listings:
            members, self._members[split] = self._members[split], _Members()
            self._check_files(members)
            rows = (
                FileRow(sys.intern(posixpath.dirname(path)), posixpath.basename(path), label)
                for path, label in zip(members.paths, members.labels, strict=True)
            )
            root = str(self.root)
            self._listings[split] = FileListing(self.card.name, split, root, rows, self._labels, keyed_by_path=True)
        return self._listings[split]

    def _check_files(self, members: _Members) -> None:
        absent = [
            place for place, path in enumerate(members.paths) if not os.path.isfile(os.path.join(str(self.root), path))
        ]
        if absent:
            first = absent[0]
            raise DataInvalid(
                f"{self.table.where(members.numbers[first])} names {members.paths[first]}, which is no file in "
                f"{self.root} ({len(absent):,} of {len(members.paths):,} are absent).",
                hint=f"Where paths start from another folder: --dataset csv:{self.table.path}#images=FOLDER",
            )

    def _read(self) -> None:
        if self._members:
            return
        columns = [self.path_column, self.label_column, *([self.split_column] if self.split_column else [])]
        found: dict[str, _Members] = {}
        seen: dict[str, int] = {}
        for row in self.table.rows(columns):
            path = self._path(row.cells[0], row.number)
            if seen.setdefault(path, row.number) != row.number:
                earlier = f"{self.table.unit} {seen[path]}"
                raise DataInvalid(f"{self.table.where(row.number)} names {path}, which {earlier} has named already.")
            members = found.setdefault(self._split(row.cells, row.number), _Members())
            members.paths.append(path)
            members.labels.append(self._label(row.cells[1], row.number))
            members.numbers.append(row.number)
        if not found:
            raise DataInvalid(f"{self.table.path} names columns, but lists no image.")
        self._labels = tuple(sorted({label for members in found.values() for label in members.labels}))
        self._members = found

    def _path(self, cell: object, number: int) -> str:
        """Return a path below the root, with forward slashes and nothing that could be left out."""
        where = self.table.where(number)
        if not isinstance(cell, str) or not cell.strip():
            what = "no path" if cell is None or cell == "" or isinstance(cell, str) else f"the path {cell!r:.60}"
            raise DataInvalid(f"{where} has {what} under {self.path_column!r}.")
        given = cell.strip()
        if "://" in given:
            raise DataInvalid(f"{where} names {given}, a web address.", hint="Download the images, and list the files.")
        path = posixpath.normpath(given.replace("\\", "/"))
        if os.path.isabs(path) or path[1:3] == ":/":
            path = os.path.relpath(path, str(self.root)) if Path(path).is_relative_to(str(self.root)) else path
        if os.path.isabs(path) or path[1:3] == ":/" or path.partition("/")[0] == ".." or path == ".":
            raise DataInvalid(
                f"{where} names {given}, which does not lie in {self.root}.",
                hint=f"Name the folder that holds all images: --dataset csv:{self.table.path}#images=FOLDER",
            )
        return path

    def _label(self, cell: object, number: int) -> str:
        text = "" if cell is None or isinstance(cell, list | dict) else str(cell)
        label = tidy(text)
        if not label:
            raise DataInvalid(f"{self.table.where(number)} has no label under {self.label_column!r}.")
        return label

    def _split(self, cells: Sequence[object], number: int) -> str:
        if self.split_column is None:
            return "test"
        name = split_called(str("" if cells[2] is None else cells[2]))
        if not name or "/" in name:
            raise DataInvalid(f"{self.table.where(number)} has {name!r} for a split under {self.split_column!r}.")
        return name


class TablePlugin(DatasetPlugin):
    """Images that a table lists."""

    card = CARD
    takes_path = True

    def spelling(self, argument: str) -> str:
        """Return the path without what changes nothing, and the settings by name; the noun is left out."""
        read = _read_argument(argument)
        return read.spelt(os.path.normpath(read.place))

    def open(self, roots: Sequence[Path], argument: str | None = None) -> TableDataset:
        """Open the table `argument`; ``PATH#birds,label=species`` asks about birds, by the names in that column."""
        if not argument:
            raise UsageError("csv: needs a path.", hint="For example: --dataset csv:birds.csv")
        read = _read_argument(argument)
        settings = dict(read.settings or {})
        path = at_home(read.place)
        if not path.is_file():
            raise DataNotFound(f"there is no file {path}.", hint="Name a table: csv:FILE.csv, .tsv, .jsonl or .parquet")
        path = Path(os.path.abspath(path))
        root = path.parent / at_home(settings["images"]) if "images" in settings else path.parent
        if not root.is_dir():
            raise DataNotFound(f"there is no folder {root} (images={settings['images']}).")
        # ids hold the table's name, not its path, so that it may move
        card = dataclasses.replace(
            CARD, name=f"csv:{path.name}", title=f"images listed in {path.name}", noun=read.noun or CARD.noun
        )
        return TableDataset(Table(path), Path(os.path.abspath(root)), card, settings)


def _read_argument(argument: str) -> Argument:
    return Argument.read(argument, SETTINGS, lambda place: os.path.isfile(at_home(place)))


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register csv:."""
    register(TablePlugin())
