"""Images in rows of Arrow tables, read where they are needed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fgvr_bench.types import MAX_IMAGE_BYTES, FileImage, Stamp


@dataclass(frozen=True, slots=True)
class RowImage:
    """An image in a row; to another process it travels as the path of the table's file and the row's number."""

    rows: Any
    """`datasets.Dataset` of one column, its images not decoded."""
    column: str
    folders: tuple[str, ...]
    """Where a file may lie that is named in place of bytes."""
    table: Stamp
    """Stamp of the table's files."""
    row: int

    def stamp(self) -> Stamp:
        """Return the stamp of the row."""
        return Stamp(f"{self.table.text}\0{self.row}", self.table.modified)

    def open(self) -> BinaryIO:
        """Return the bytes as a file, for a look at their beginning."""
        return io.BytesIO(self.read())

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
