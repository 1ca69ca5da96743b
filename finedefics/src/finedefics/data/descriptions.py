"""The file of descriptions: what tells each training image's category from the others, in words.

JSON Lines.  The first line is the header, which names what they were made from; each other line is an image, in the
order of ids: ``example_id``, ``image`` (its path; null where it is drawn when read), ``label``, ``attributes`` (name
to value) and ``description``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import canonical_json, check_format, parse_json, write_jsonl
from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError
from fgvr_bench.types import Example, FileImage
from finedefics.data.texts import one_line

FORMAT = "finedefics/descriptions"
VERSION = 1
MAKE = "Make one with: fgvr-bench finedefics describe"


@dataclass(frozen=True, slots=True)
class Described:
    """One image in words."""

    example_id: str
    label: str
    attributes: Mapping[str, str]
    """Name of each attribute that was read, and its value."""
    description: str
    """One line, never empty."""
    image: str | None = None
    """Path of the picture; None where it is drawn when read."""


@dataclass(frozen=True, slots=True)
class Descriptions:
    """A file of descriptions."""

    header: Mapping[str, Any]
    rows: Sequence[Described]
    """Sorted by id."""
    path: Path

    @property
    def dataset(self) -> str:
        """Name of the dataset that they are of."""
        return str(self.header["dataset"])

    def check(self, name: str, split: str, digest: str) -> None:
        """Make sure that they were made from this split as it is now.

        Raises:
            DataInvalid: of another split, or of other images or labels.
        """
        again = f"Describe it again: fgvr-bench finedefics describe --dataset {name} --split {split} --out {self.path}"
        if self.header["split"] != split:
            raise DataInvalid(f"{self.path} describes split {self.header['split']} of {name}, not {split}.", hint=again)
        made_from = str(self.header["dataset_digest"])
        if made_from != digest:
            raise DataInvalid(
                f"{self.path} was made from other images or labels of {name} {split}: the dataset digest was "
                f"{made_from[:12]} then and is {digest[:12]} now.",
                hint=again,
            )

    def cautions(self) -> list[str]:
        """Return what a reader should know, a sentence each."""
        found = []
        if missing := self.header.get("missing"):
            found.append(f"{len(missing)} images have no description: {', '.join(map(str, missing[:3]))} ...")
        if naming := sum(_names(row) for row in self.rows):
            found.append(
                f"{naming:,} of {len(self.rows):,} descriptions hold the name of their own category, so that training "
                "may match names instead of looks."
            )
        owners: dict[str, set[str]] = {}
        for row in self.rows:
            owners.setdefault(row.description.casefold(), set()).add(row.label)
        shared = {text for text, labels in owners.items() if len(labels) > 1}
        if count := sum(row.description.casefold() in shared for row in self.rows):
            found.append(f"{count:,} of {len(self.rows):,} descriptions are those of images of other categories too.")
        return found


def write_descriptions(path: Path, header: Mapping[str, Any], rows: Sequence[Described]) -> Descriptions:
    """Write a file of descriptions, whole or not at all.

    The header gets ``format``, ``version``, ``examples`` and a digest of the rows beside what is given.

    Raises:
        FgvrError: a file is there that is none of descriptions; or the folder cannot be written to.
    """
    writable(path)
    lines = [_line(row) for row in rows]
    digest = hashlib.sha256("".join(canonical_json(line) + "\n" for line in lines).encode()).hexdigest()
    full = {**header, "format": FORMAT, "version": VERSION, "examples": len(rows), "digest": digest}
    write_jsonl(path, [full, *lines])
    return Descriptions(full, rows, path)


def writable(path: Path) -> None:
    """Make sure that nothing else would be overwritten.

    Raises:
        FgvrError: a file is there that holds no descriptions.
    """
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            check_format(parse_json(file.readline()), FORMAT, (VERSION,), path)
    except (OSError, ValueError, FgvrError) as error:
        raise FgvrError(
            f"{path} is there and holds no descriptions; it was left as it is.", hint="Name another --out."
        ) from error


def _line(row: Described) -> dict[str, Any]:
    return {
        "example_id": row.example_id,
        "image": row.image,
        "label": row.label,
        "attributes": dict(row.attributes),
        "description": row.description,
    }


def read_descriptions(path: Path) -> Descriptions:
    """Read and check a file of descriptions; one that was edited by hand is as good as another.

    Raises:
        DataNotFound: no such file.
        FormatUnknown: no file of descriptions, or of a version that this one does not read.
        DataInvalid: a line that is none, an empty description, an image that stands twice; names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError as error:
        raise DataNotFound(f"{path} does not exist.", hint=MAKE) from error
    except OSError as error:
        raise DataInvalid(f"{path} cannot be read: {error.strerror or error}.") from error
    header = check_format(_json(lines[0] if lines else b"", path, 1), FORMAT, (VERSION,), path)
    for name in ("dataset", "split", "dataset_digest"):
        if not isinstance(header.get(name), str):
            raise DataInvalid(f"{path}, line 1: the header names no {name}.", hint=MAKE)
    if not isinstance(header.get("missing", []), list):
        raise DataInvalid(f"{path}, line 1: what is missing is no list.", hint=MAKE)
    rows = list(_rows(lines[1:], path))
    if not rows:
        raise DataInvalid(f"{path} describes no image.", hint=MAKE)
    twice = [example_id for example_id, count in Counter(row.example_id for row in rows).items() if count > 1]
    if twice:
        raise DataInvalid(f"{path} describes {twice[0]} twice{f', and {len(twice) - 1} more' if twice[1:] else ''}.")
    return Descriptions(header, sorted(rows, key=lambda row: row.example_id), path)


def _json(line: bytes, path: Path, number: int) -> Any:
    try:
        return parse_json(line)
    except ValueError as error:
        raise DataInvalid(f"{path}, line {number}: no JSON ({error}).", hint=MAKE) from error


def _rows(lines: Sequence[bytes], path: Path) -> Iterator[Described]:
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        cells = _json(line, path, number)
        try:
            attributes = cells.get("attributes", {})
            texts = (cells["example_id"], cells["label"], cells["description"])
            if not all(isinstance(text, str) for text in (*texts, *attributes, *attributes.values())):
                raise TypeError("a value that has to be text is none")
            example_id, label, description = texts
        except (AttributeError, KeyError, TypeError) as error:
            raise DataInvalid(
                f"{path}, line {number}: no description of an image ({type(error).__name__}: {error})."
            ) from error
        plain = one_line(description, len(description))
        if not plain:
            raise DataInvalid(
                f"{path}, line {number}: the description of {example_id} is empty.",
                hint="Write one, or delete the line; build-data --skip-missing leaves such images out.",
            )
        yield Described(example_id, label, dict(attributes), plain, cells.get("image"))


def _names(row: Described) -> bool:
    """Say whether a description holds its category's name, however it is spelt."""
    return f" {_plain(row.label)} " in f" {_plain(row.description)} "


def _plain(text: str) -> str:
    return " ".join("".join(char if char.isalnum() else " " for char in text.casefold()).split())


def path_of(example: Example) -> str | None:
    """Return the path of an example's picture, or None where it is drawn when read."""
    return example.image.path if isinstance(example.image, FileImage) else None
