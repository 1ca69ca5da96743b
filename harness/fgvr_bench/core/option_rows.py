"""The lines of an option set's file: a header, then a row an example, each checked as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import canonical_json, check_format, parse_json
from fgvr_bench.errors import OptionsInvalid
from fgvr_bench.types import LETTERS, Options

FORMAT = "fgvr-bench/options"
VERSIONS = (1,)
DECIMALS = 6
"""Digits after the point of a stored similarity; a float32 holds them exactly enough to give them back."""


def row_line(row: Options) -> bytes:
    """Return a row as its line of the file."""
    fields = {
        "example_id": row.example_id,
        "choices": list(row.choices),
        "similarities": [round(value, DECIMALS) for value in row.similarities] or None,
        "truth_rank": row.truth_rank,
        "truth_margin": None if row.truth_margin is None else round(row.truth_margin, DECIMALS),
    }
    return canonical_json(fields).encode() + b"\n"


def identity_line(row: Options) -> bytes:
    """Return what a set's digest sees of a row: its id and choices."""
    return canonical_json([row.example_id, list(row.choices)]).encode() + b"\n"


def read_lines(path: Path) -> Iterator[tuple[dict[str, Any], Options | None]]:
    """Yield the header with None, then with each row, in constant memory.

    Raises:
        OptionsInvalid: absent, damaged, or rows out of order; names the line.
        FormatUnknown: not an option set, or of a version that this one does not read.
    """
    try:
        with path.open("rb") as file:
            header = _parse_header(file.readline(), path)
            yield header, None
            last = ""
            for number, line in enumerate(file, start=2):
                row = _parse_row(line, path, number)
                if row.example_id <= last:
                    raise OptionsInvalid(f"{path} line {number}: {row.example_id} comes after {last}.")
                last = row.example_id
                yield header, row
    except OSError as error:
        raise OptionsInvalid(f"option set {path} cannot be read: {error.strerror or error}.") from error


def _parse_header(line: bytes, path: Path) -> dict[str, Any]:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise OptionsInvalid(f"{path} is not an option set: its first line is not JSON.") from error
    header = check_format(value, FORMAT, VERSIONS, path)
    for name, kind in (("dataset", str), ("split", str), ("labels", list)):
        if not isinstance(header.get(name), kind):
            raise OptionsInvalid(f"{path}: the header has no {name}.")
    if not all(isinstance(label, str) for label in header["labels"]):
        raise OptionsInvalid(f"{path}: a label in the header is no text.")
    return header


def _parse_row(line: bytes, path: Path, number: int) -> Options:
    try:
        if not line.endswith(b"\n"):
            raise ValueError("the file was cut short")
        row = parse_json(line)
        if not isinstance(row["example_id"], str) or not all(isinstance(choice, str) for choice in row["choices"]):
            raise ValueError("ids and choices have to be text")
        "".join((row["example_id"], *row["choices"])).encode()  # half a character is no text
        if len(row["choices"]) > len(LETTERS):
            raise ValueError(f"more than {len(LETTERS)} choices")
        rank, margin = row["truth_rank"], row["truth_margin"]
        return Options(
            example_id=row["example_id"],
            choices=tuple(row["choices"]),
            similarities=tuple(float(value) for value in row["similarities"] or ()),
            truth_rank=None if rank is None else int(rank),
            truth_margin=None if margin is None else float(margin),
        )
    except (ValueError, KeyError, TypeError) as error:
        reason = f"has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise OptionsInvalid(f"{path} line {number}: {reason}.", hint="Delete the file and mine again.") from error
