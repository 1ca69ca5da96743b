"""Images in rows of Arrow tables, as examples: built when asked for, read where they are needed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from fgvr_bench.types import MAX_IMAGE_BYTES, Example, FileImage


@dataclass(frozen=True, slots=True)
class RowImage:
    """An image in a row; to another process it travels as the path of the table's file and the row's number."""

    rows: Any
    """`datasets.Dataset` of one column, its images not decoded."""
    column: str
    row: int
    folders: tuple[str, ...]
    """Where a file may lie that is named in place of bytes."""

    def read(self) -> bytes:
        """Return the row's bytes, or those of the file that it names.

        Raises:
            OSError: there are none, or the file lies elsewhere.
        """
        try:
            cell = self.rows[self.row][self.column]
        except (ValueError, RuntimeError, LookupError) as error:  # pyarrow's errors are these
            raise OSError(f"row {self.row} cannot be read: {error}") from error
        data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if data is None and path:
            return self._file(str(path))
        if not data:
            raise OSError(f"row {self.row} holds no image")
        if len(data) > MAX_IMAGE_BYTES:
            raise OSError(f"the image of row {self.row} has {len(data)} bytes, more than {MAX_IMAGE_BYTES}")
        return bytes(data)

    def _file(self, path: str) -> bytes:
        if "://" in path:
            raise OSError(f"row {self.row} names {path}, a web address")
        found = Path(self.folders[0], path).resolve()
        if not any(found.is_relative_to(folder) for folder in self.folders):
            raise OSError(f"row {self.row} names {path}, which does not lie in {self.folders[0]}")
        return FileImage(str(found)).read()


class RowExamples(Sequence[Example]):
    """The rows of one split, in their order; ids hold the row's number."""

    __slots__ = ("_column", "_digits", "_folders", "_label", "_labels", "_prefix", "_rows", "_split")

    def __init__(
        self, dataset: str, split: str, rows: Any, column: str, labels: Sequence[str], folders: Sequence[str]
    ) -> None:
        """Take the rows of an image column, and the label of each."""
        self._prefix, self._split = f"{dataset}/{split}/", split
        self._rows, self._column, self._folders = rows, column, tuple(folders)
        numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        self._labels = tuple(numbers)
        self._label = array("I", (numbers[label] for label in labels))
        self._digits = max(6, len(str(len(labels))))

    def __len__(self) -> int:
        return len(self._label)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        image = RowImage(self._rows, self._column, row, self._folders)
        example_id = f"{self._prefix}{row:0{self._digits}}"
        return Example(example_id, image, self._labels[self._label[row]], self._split)
