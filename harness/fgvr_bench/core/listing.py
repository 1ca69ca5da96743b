"""Images in files as a sequence of examples: compact, sorted, each example built when it is asked for."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

from fgvr_bench.errors import DataInvalid, OptionsInvalid
from fgvr_bench.types import Example, FileImage

ORDINAL = re.compile(r"(.+)~(\d+)")
"""An example that repeats another one's image ends its id with ``~2``, ``~3``..."""


class Texts(Sequence[str]):
    """Strings joined to one: a few bytes more than their text, where a list has sixty.

    >>> Texts(["rose", "tulip"])[1]
    'tulip'
    """

    __slots__ = ("_blob", "_ends")

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [os.fsencode(text) for text in texts]
        self._blob = b"".join(encoded)
        self._ends = array("I" if len(self._blob) < 2**32 else "Q")
        end = 0
        for text in encoded:
            end += len(text)
            self._ends.append(end)

    def __len__(self) -> int:
        return len(self._ends)

    def held_bytes(self) -> int:
        """Return the memory that the texts take, in bytes."""
        return len(self._blob) + self._ends.itemsize * len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        end = self._ends[index]
        if index < 0:
            index += len(self._ends)
        return os.fsdecode(self._blob[self._ends[index - 1] if index else 0 : end])


@dataclass(frozen=True, slots=True)
class FileRow:
    """One labelled image file, before it is put in order."""

    folder: str
    """Its folder, relative to the listing's root, with forward slashes; empty for the root itself."""
    name: str
    """Its base name, spelt as annotated: the example's key, the same in every layout."""
    label: str
    where: str = ""
    """What names it, for messages: annotation file and line."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    spelt: str = ""
    """Its base name on disk, where that is another (``.JPG`` for ``.jpg``)."""

    @property
    def path(self) -> str:
        """Folder and name."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


class FileListing(Sequence[Example]):
    """Examples whose images are files below one root, sorted by ``example_id``.

    Holds an image in about 10 bytes beside its base name (folders and labels are numbers), so a million
    images fit in memory; `Example` objects are made on the way.  Picklable.
    """

    __slots__ = (
        "_columns",
        "_folder",
        "_folders",
        "_keyed_by_path",
        "_label",
        "_labels",
        "_names",
        "_ordinals",
        "_prefix",
        "_root",
        "_spelt",
        "_split",
    )

    def __init__(
        self,
        dataset: str,
        split: str,
        root: str | os.PathLike[str],
        rows: Iterable[FileRow],
        labels: Sequence[str],
        *,
        keyed_by_path: bool = False,
    ) -> None:
        """Put `rows` in order.

        The key of an example is the base name of its file (`keyed_by_path`: the path below `root`).  A row
        that repeats file and label of another becomes an example of its own, ``key~2``.

        Raises:
            DataInvalid: two different images have one key, or a file name is not UTF-8.
        """
        self._prefix = f"{dataset}/{split}/"
        self._split = split
        self._root = os.fspath(root)
        self._keyed_by_path = keyed_by_path
        self._labels = tuple(labels)
        ordered, repeats = _in_order(dataset, rows, keyed_by_path)
        folders = {folder: number for number, folder in enumerate(sorted({row.folder for _, row in ordered}))}
        numbers = {label: number for number, label in enumerate(self._labels)}
        self._folders = tuple(folders)
        self._names = Texts(row.name for _, row in ordered)
        self._folder = array("H" if len(folders) < 2**16 else "I", (folders[row.folder] for _, row in ordered))
        self._label = array("H" if len(numbers) < 2**16 else "I", (numbers[row.label] for _, row in ordered))
        self._ordinals = repeats
        self._spelt = {place: row.spelt for place, (_, row) in enumerate(ordered) if row.spelt not in ("", row.name)}
        columns = ordered[0][1].metadata if ordered else {}
        self._columns = {name: Texts(row.metadata[name] for _, row in ordered) for name in columns}

    def __len__(self) -> int:
        return len(self._names)

    def held_bytes(self) -> int:
        """Return the memory that the images take, in bytes; labels and folders, shared by many, left out."""
        columns = (self._names, *self._columns.values())
        numbers = (self._folder, self._label)
        return sum(column.held_bytes() for column in columns) + sum(len(each) * each.itemsize for each in numbers)

    def example_id(self, index: int) -> str:
        """Return the id of the example at `index` without building it."""
        name = self._names[index]
        folder = self._folders[self._folder[index]] if self._keyed_by_path else ""
        key = unicodedata.normalize("NFC", f"{folder}/{name}" if folder else name)
        ordinal = self._ordinals.get(index % len(self)) if self._ordinals else None
        return f"{self._prefix}{key}~{ordinal}" if ordinal else self._prefix + key

    def label(self, index: int) -> str:
        """Return the label of the example at `index` without building it."""
        return self._labels[self._label[index]]

    def path(self, index: int) -> str:
        """Return the image file of the example at `index` without building it."""
        folder = self._folders[self._folder[index]]
        name = self._spelt.get(index % len(self)) if self._spelt else None
        name = name or self._names[index]
        return os.path.join(self._root, folder, name) if folder else os.path.join(self._root, name)

    def find(self, example_id: str) -> int | None:
        """Return the place of an example, or None where there is no such id."""
        place = bisect_left(range(len(self)), example_id, key=self.example_id)
        return place if place < len(self) and self.example_id(place) == example_id else None

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        metadata = {name: column[index] for name, column in self._columns.items()}
        return Example(self.example_id(index), FileImage(self.path(index)), self.label(index), self._split, metadata)


def _in_order(
    dataset: str, rows: Iterable[FileRow], keyed_by_path: bool
) -> tuple[list[tuple[str, FileRow]], dict[int, int]]:
    """Return (id key, row) sorted, and the ordinal of each place that repeats an image."""
    by_key: dict[str, list[FileRow]] = {}
    for row in rows:
        key = unicodedata.normalize("NFC", row.path if keyed_by_path else row.name)
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise DataInvalid(f"{dataset}: the file name {row.path!r} is not UTF-8.", hint="Rename it.") from error
        by_key.setdefault(key, []).append(row)
    flat: list[tuple[str, FileRow, int]] = []
    for key, same in by_key.items():
        other = next((row for row in same if (row.path, row.label) != (same[0].path, same[0].label)), None)
        if other is not None:
            raise DataInvalid(f"{dataset}: {_tell(same[0])} and {_tell(other)} are both called {key!r}.")
        flat += [(f"{key}~{number}" if number > 1 else key, row, number) for number, row in enumerate(same, 1)]
    flat.sort(key=lambda item: item[0])
    repeats = {place: number for place, (_, _, number) in enumerate(flat) if number > 1}
    return [(key, row) for key, row, _ in flat], repeats


def _tell(row: FileRow) -> str:
    return f"{row.path} ({row.label}{', ' + row.where if row.where else ''})"


class Selection(Sequence[Example]):
    """Some examples of a sequence, in a stated order; an image may stand in it more than once."""

    __slots__ = ("_base", "_ids", "_places")

    def __init__(self, base: Sequence[Example], ids: Texts, places: array[int]) -> None:
        self._base, self._ids, self._places = base, ids, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        example, example_id = self._base[self._places[index]], self._ids[index]
        return example if example.example_id == example_id else dataclasses.replace(example, example_id=example_id)


def example_ids(examples: Sequence[Example]) -> Iterator[str]:
    """Return the ids of `examples`, one after the other, without building the examples where that is possible."""
    if isinstance(examples, FileListing):
        return (examples.example_id(index) for index in range(len(examples)))
    return (example.example_id for example in examples)


def select(examples: Sequence[Example], ids: Sequence[str]) -> Sequence[Example]:
    """Return the examples that an option set asks about, in the order of its `ids`.

    An id with an ordinal (``dog-120/test/n02085620_1235.jpg~2``) that the dataset does not list itself is the
    same image once more: published sets ask about some images twice.  `examples` comes back as it is where
    the ids are its own.

    Raises:
        OptionsInvalid: names the first id that the dataset does not hold, and how many there are.
    """
    places = {example_id: place for place, example_id in enumerate(example_ids(examples))}
    if len(places) == len(ids) and all(mine == theirs for mine, theirs in zip(places, ids, strict=True)):
        return examples
    found: array[int] = array("q")
    absent: list[str] = []
    for example_id in ids:
        place = places.get(example_id)
        if place is None and (repeated := ORDINAL.fullmatch(example_id)):
            place = places.get(repeated[1])
        if place is None:
            absent.append(example_id)
        else:
            found.append(place)
    if absent:
        raise OptionsInvalid(
            f"the option set asks about {absent[0]}, which the dataset does not hold ({len(absent)} of {len(ids)})."
        )
    return Selection(examples, Texts(ids), found)
