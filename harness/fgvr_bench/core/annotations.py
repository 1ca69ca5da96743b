"""Reading what datasets come with: lists, MATLAB files and folders of images, each refusal naming file and line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fgvr_bench.errors import DataInvalid

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
"""File names that end so, in any case, are taken for images."""

MAX_ANNOTATION_BYTES = 64 * 1024 * 1024
"""A larger annotation file is refused before it is read."""


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_ANNOTATION_BYTES:
            raise DataInvalid(f"{path} has {size:,} bytes; an annotation file has at most {MAX_ANNOTATION_BYTES:,}.")
        return path.read_bytes()
    except OSError as error:
        raise DataInvalid(f"{path} cannot be read: {error.strerror or error}.") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of each line that is not blank, stripped.

    Windows line ends, a byte order mark and a missing last line end are taken as they come.

    Raises:
        DataInvalid: unreadable, or not UTF-8; names file and line.
    """
    for number, line in enumerate(_bytes_of(path).removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            raise DataInvalid(f"{path}, line {number} is not UTF-8 text.") from error
        if "\0" in text:
            raise DataInvalid(f"{path}, line {number} is not text.")
        if text:
            yield number, text


def read_fields(path: Path, count: int, what: str) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of each line: `count` of them, separated by spaces, the last one taking the rest.

    Raises:
        DataInvalid: a line has fewer; names file and line and says `what` a line should hold.
    """
    for number, line in read_lines(path):
        fields = line.split(maxsplit=count - 1)
        if len(fields) < count:
            raise DataInvalid(f"{path}, line {number} is {line!r}; expected {what}.")
        yield number, fields


def read_mat(path: Path, *variables: str) -> list[Any]:
    """Return variables of a MATLAB file (version 7 or older), squeezed to NumPy arrays of one dimension.

    Raises:
        DataInvalid: unreadable, truncated, of another kind, or without one of the variables.
    """
    import numpy as np

    from fgvr_bench.core.mat_files import MatInvalid, load_mat

    data = _bytes_of(path)
    try:
        found = load_mat(data)
    except MatInvalid as error:
        raise DataInvalid(
            f"{path} is truncated or no MATLAB file of version 7 or older ({len(data):,} bytes; {error}).",
            hint="Fetch it again.",
        ) from error
    absent = [name for name in variables if name not in found]
    if absent:
        raise DataInvalid(f"{path} holds no variable {absent[0]!r}.")
    return [np.atleast_1d(found[name]) for name in variables]


def image_files(folder: Path, depth: int = 6) -> Iterator[tuple[str, str]]:
    """Yield (folder relative to `folder`, base name) of every image file below it; hidden ones are left out.

    Links are followed, each folder once; files of other kinds are passed over.

    Raises:
        DataInvalid: a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [("", depth)]
    while waiting:
        relative, left = waiting.pop()
        place = os.path.join(folder, relative)
        try:
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and not entry.is_dir():
                        yield relative, entry.name
                    elif left and entry.is_dir():
                        waiting.append((f"{relative}/{entry.name}" if relative else entry.name, left - 1))
        except OSError as error:
            raise DataInvalid(f"the folder {place} cannot be read: {error.strerror or error}.") from error
