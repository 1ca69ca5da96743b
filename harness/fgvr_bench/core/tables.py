"""Tables of any kind, row by row: CSV, TSV, JSON Lines and Parquet, each refusal naming file and line.

A table is read as it comes and never held.  Text is UTF-8 with or without a byte order mark, lines end as on
Unix or Windows, and blank ones are passed over.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import parse_json
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError

MAX_LINE_BYTES = 1 << 20
"""A longer line is refused before it is read whole."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
PARQUET_ROWS = 8192
"""Rows of a Parquet file that are read at a time."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    number: int
    """Line of the file, or row of a Parquet file, from 1."""
    cells: Sequence[Any]
    """What stands in each of the columns that were asked for; None where it is absent."""


class Table:
    """A file of rows under named columns."""

    def __init__(self, path: Path) -> None:
        """Look at the beginning of the file.

        Raises:
            DataNotFound: there is no such file.
            UsageError: its name does not end as that of a table.
            DataInvalid: unreadable, empty, or without names of columns.
        """
        if not path.is_file():
            raise DataNotFound(f"there is no file {path}.")
        kind = KINDS.get(path.suffix.lower())
        if kind is None:
            raise UsageError(
                f"{path} is no table that is known by its name.", hint=f"Tables end with {', '.join(KINDS)}."
            )
        self.path, self.kind = path, kind
        self.delimiter = ","
        self.columns: tuple[str, ...] = getattr(self, f"_{kind}_columns")()
        """The names of its columns (JSON Lines: those of the first line)."""
        twice = next((name for name in self.columns if name and self.columns.count(name) > 1), None)
        if twice is not None:
            raise DataInvalid(f"{path} has two columns {twice!r}.", hint="Rename one.")

    @property
    def unit(self) -> str:
        """What `Row.number` counts."""
        return "row" if self.kind == "parquet" else "line"

    def where(self, number: int) -> str:
        """Return file and line of a row, for messages."""
        return f"{self.path}, {self.unit} {number}"

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Yield every row's cells of the given columns.

        Raises:
            DataInvalid: a row that is none; names file and line.
        """
        found: Iterator[Row] = getattr(self, f"_{self.kind}_rows")(columns)
        return found

    # --- text with delimiters -----------------------------------------------------------------------

    def _csv_columns(self) -> tuple[str, ...]:
        first = next((text for _, text in read_long(self.path) if text.strip()), None)
        if first is None:
            raise DataInvalid(f"{self.path} is empty.")
        # names of columns hold none of these signs, so the sign that occurs most parts them
        self.delimiter = max(DELIMITERS, key=first.count) if any(map(first.count, DELIMITERS)) else ","
        _, names = next(self._csv_records())
        return tuple(name.strip() for name in names)

    def _csv_records(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader((text for _, text in read_long(self.path)), delimiter=self.delimiter, strict=True)
        while True:
            start = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                wrong = "a quotation mark is not closed" if "unexpected end" in str(error) else str(error)
                raise DataInvalid(f"{self.where(start)} is no line of a CSV file: {wrong}.") from error
            if any(cell.strip() for cell in cells):
                yield start, cells

    def _csv_rows(self, columns: Sequence[str]) -> Iterator[Row]:
        places = [self.columns.index(name) for name in columns]
        records = self._csv_records()
        next(records, None)
        for number, cells in records:
            if len(cells) != len(self.columns):
                raise DataInvalid(
                    f"{self.where(number)} has {len(cells)} fields; the first line names {len(self.columns)} columns.",
                    hint="Put fields that hold a comma into quotation marks.",
                )
            yield Row(number, [cells[place] for place in places])

    # --- JSON Lines ---------------------------------------------------------------------------------

    def _json_columns(self) -> tuple[str, ...]:
        for _, value in self._json_records():
            return tuple(value)
        raise DataInvalid(f"{self.path} is empty.")

    def _json_records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, text in read_long(self.path):
            if not text.strip():
                continue
            try:
                value = parse_json(text)
            except ValueError as error:
                raise DataInvalid(
                    f"{self.where(number)} is no JSON: {error}.", hint="JSON Lines have an object a line."
                ) from error
            if not isinstance(value, dict):
                raise DataInvalid(
                    f"{self.where(number)} is no JSON object.", hint="JSON Lines have an object a line: {...}"
                )
            yield number, value

    def _json_rows(self, columns: Sequence[str]) -> Iterator[Row]:
        for number, value in self._json_records():
            yield Row(number, [value.get(name) for name in columns])

    # --- Parquet ------------------------------------------------------------------------------------

    def _parquet(self) -> Any:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise UsageError(
                f"{self.path} is read with pyarrow, which is not installed.",
                hint="Type: pip install 'fgvr-bench[datasets]', or write the table as CSV.",
            ) from error
        try:
            return parquet.ParquetFile(self.path)
        except (OSError, ValueError, RuntimeError) as error:  # pyarrow's errors are these
            raise DataInvalid(f"{self.path} is no Parquet file: {_first_line(error)}.") from error

    def _parquet_columns(self) -> tuple[str, ...]:
        with self._parquet() as file:
            return tuple(file.schema_arrow.names)

    def _parquet_rows(self, columns: Sequence[str]) -> Iterator[Row]:
        number = 0
        with self._parquet() as file:
            try:
                for batch in file.iter_batches(PARQUET_ROWS, columns=list(columns)):
                    for cells in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                        number += 1
                        yield Row(number, cells)
            except (OSError, ValueError, RuntimeError) as error:
                raise DataInvalid(f"{self.where(number + 1)} cannot be read: {_first_line(error)}.") from error


def read_long(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of every line of a file of any length, blank ones too, line ends kept.

    Raises:
        DataInvalid: unreadable, not UTF-8, or no text; names file and line.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield number, _decoded(line, f"{path}, line {number}")
    except OSError as error:
        raise DataInvalid(f"{path} cannot be read: {error.strerror or error}.") from error


def _decoded(line: bytes, where: str) -> str:
    if len(line) == MAX_LINE_BYTES:
        raise DataInvalid(f"{where} has more than {MAX_LINE_BYTES:,} bytes.")
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataInvalid(f"{where} is UTF-16 text.", hint="Save the file as UTF-8.")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise DataInvalid(
            f"{where} is not UTF-8 text (byte {error.start + 1}).", hint="Save the file as UTF-8."
        ) from error
    if "\0" in text:
        raise DataInvalid(f"{where} is not text.")
    return text


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
