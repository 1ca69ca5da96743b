"""Rows of training files: CSV in the columns of the published ones, read, written and checked.

A file of the authors' loads unchanged.  A cell may hold line feeds (questions with choices do); several negatives
in a cell are separated by the two characters TAB and line feed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from fgvr_bench.core.files import write_text
from fgvr_bench.errors import DataInvalid, DataNotFound

COLUMNS = (
    "question",
    "answer",
    "type",
    "image_path",
    "attribute",
    "neg_attribute",
    "category",
    "neg_category",
)
"""Columns of a file, in the order in which they are written; rows of several images add ``image_path_1`` and so on."""

REQUIRED = ("question", "answer", "type")
"""Columns that a file cannot do without; the others are empty where they are absent."""

SINGLE, MULTIPLE = "single-image", "multi-image"
"""What the column ``type`` may say: the picture is ``image_path``, or ``image_path_1``, ``image_path_2`` ..."""

SEPARATOR = "\t\n"
"""Between two negatives of a cell."""

_NUMBERED = re.compile(r"image_path_([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One training sample."""

    question: str
    """What the user says; may be empty."""
    answer: str
    """What the model is to say."""
    type: str
    """`SINGLE` or `MULTIPLE`."""
    image_paths: tuple[Path, ...]
    """Pictures in the order in which they are shown; at least one."""
    attribute: str | None = None
    """Description of the pictured object by its attributes (stage I)."""
    neg_attributes: tuple[str, ...] = ()
    """Descriptions of similar but wrong categories."""
    category: str | None = None
    """Name of the category (stage I)."""
    neg_categories: tuple[str, ...] = ()
    """Names of similar but wrong categories; the i-th is the one that the i-th negative description is of."""
    source: str = ""
    """File that the row was read from."""
    line: int = 0
    """Line of that file on which the row begins; 1 is the head."""

    @property
    def where(self) -> str:
        """The row as messages name it."""
        return f"{self.source}, line {self.line}" if self.source else f"row {self.line}"


def read_rows(path: Path, images_root: Path | None = None) -> list[TrainingRow]:
    """Read a training file.

    Args:
        path: CSV file in UTF-8, with a head; columns beside `COLUMNS` are left alone.
        images_root: folder that relative image paths start from; by default the file's own.

    Raises:
        DataNotFound: no such file.
        DataInvalid: no CSV file in UTF-8, a column is missing, a row names no image or is of an unknown type.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataNotFound(f"{path} does not exist.", hint="Make it with: fgvr-bench finedefics build-data") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataInvalid(f"{path} cannot be read as UTF-8 text: {error}.") from error
    root = images_root if images_root is not None else path.parent
    return [_parse(cells, path, line, root) for line, cells in _records(path, text)]


def _records(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row as a mapping of its columns, with the line on which it begins."""
    lines = StringIO(text, newline="")
    reader = csv.reader(lines, strict=True)
    try:
        csv.field_size_limit(1 << 24)
        head = next(reader, [])
        missing = [name for name in REQUIRED if name not in head]
        if not any(name == "image_path" or _NUMBERED.fullmatch(name) for name in head):
            missing.append("image_path")
        if missing:
            raise DataInvalid(
                f"{path} has no column {', '.join(missing)}; it has {', '.join(head) or 'no head at all'}.",
                hint=f"The columns of a training file are {', '.join(COLUMNS)}.",
            )
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                if len(cells) != len(head):
                    raise DataInvalid(f"{path}, line {line}: {len(cells)} cells, but the head has {len(head)}.")
                yield line, dict(zip(head, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataInvalid(
            f"{path}, line {reader.line_num}: not CSV: {error}.",
            hint="Training files are made with: fgvr-bench finedefics build-data",
        ) from error


def _parse(cells: dict[str, str], path: Path, line: int, root: Path) -> TrainingRow:
    kind = cells["type"].strip()
    if kind not in {SINGLE, MULTIPLE}:
        raise DataInvalid(f"{path}, line {line}: type is {kind!r}; known are {SINGLE} and {MULTIPLE}.")
    names = ["image_path"] if kind == SINGLE else _numbered(cells)
    paths = tuple(root / cells[name].strip() for name in names if cells.get(name, "").strip())
    if not paths:
        wanted = "image_path" if kind == SINGLE else "image_path_1 and image_path_2"
        raise DataInvalid(f"{path}, line {line}: a row of type {kind} names no image in {wanted}.")
    return TrainingRow(
        question=cells["question"],
        answer=cells["answer"],
        type=kind,
        image_paths=paths,
        attribute=cells.get("attribute") or None,
        neg_attributes=_negatives(cells.get("neg_attribute", "")),
        category=cells.get("category") or None,
        neg_categories=_negatives(cells.get("neg_category", "")),
        source=str(path),
        line=line,
    )


def _numbered(names: Iterable[str]) -> list[str]:
    """Return ``image_path_1``, ``image_path_2`` ... in order."""
    found = {int(match[1]): name for name in names if (match := _NUMBERED.fullmatch(name))}
    return [found[number] for number in sorted(found)]


def _negatives(cell: str) -> tuple[str, ...]:
    return tuple(cell.replace("\r\n", "\n").split(SEPARATOR)) if cell else ()


def write_rows(path: Path, rows: Sequence[TrainingRow], images_root: Path | None = None) -> None:
    """Write a training file, whole or not at all; `read_rows` gives the same rows back.

    Args:
        path: the file.
        rows: what it holds.
        images_root: folder that image paths are written relative to where they lie under it.

    Raises:
        DataInvalid: a negative is empty or holds the separator, so that it could not be told from another.
        FgvrError: the file cannot be written.
    """
    most = max((len(row.image_paths) for row in rows if row.type == MULTIPLE), default=0)
    extra = [f"image_path_{number}" for number in range(1, most + 1)]
    made = StringIO(newline="")
    writer = csv.writer(made)
    writer.writerow([*COLUMNS, *extra])
    for row in rows:
        paths = [_relative(image, images_root) for image in row.image_paths]
        several = paths if row.type == MULTIPLE else []
        writer.writerow(
            [
                row.question,
                row.answer,
                row.type,
                "" if several else paths[0],
                row.attribute or "",
                _cell(row, row.neg_attributes),
                row.category or "",
                _cell(row, row.neg_categories),
                *several,
                *[""] * (most - len(several)),
            ]
        )
    write_text(path, made.getvalue())


def _relative(image: Path, root: Path | None) -> str:
    under = root is not None and image.is_relative_to(root)
    return (image.relative_to(root) if under and root is not None else image).as_posix()


def _cell(row: TrainingRow, negatives: Sequence[str]) -> str:
    for negative in negatives:
        if not negative or SEPARATOR in negative:
            raise DataInvalid(f"{row.where}: the negative {negative!r} is empty or holds a TAB and a line feed.")
    return SEPARATOR.join(negatives)
