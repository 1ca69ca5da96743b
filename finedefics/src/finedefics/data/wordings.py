"""Prompts and wordings: files that one can edit, with places in braces such as ``{noun}``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from fgvr_bench.core.files import write_text
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError

PLACES: Mapping[str, tuple[str, ...]] = {
    "attributes": ("group", "noun", "names", "count"),
    "read": ("group", "noun", "attribute"),
    "describe": ("group", "noun", "attributes", "label"),
    "align_questions": ("noun",),
    "open_questions": ("noun",),
}
"""Each file's name, without ``.txt``, and the places that it may have."""

NEEDED: Mapping[str, tuple[str, ...]] = {"attributes": (), "read": ("attribute",), "describe": ("attributes",)}
"""Places without which a prompt could not ask what it is for."""

_PLACE = re.compile(r"\{([a-z_]+)\}")


def read_prompt(name: str, folder: Path | None = None) -> str:
    """Return a prompt: the folder's own where it has one of that name, else the default.

    Raises:
        DataInvalid: it is empty, not UTF-8, or has a place that there is nothing for; names the file.
        DataNotFound: there is no such folder.
    """
    text, where = _text(name, folder)
    _check(name, text, where)
    if not text.strip():
        raise DataInvalid(f"{where} is empty.", hint="Delete it to take the default, or write the prompt into it.")
    return text.strip()


def read_wordings(name: str, folder: Path | None = None) -> tuple[str, ...]:
    """Return the wordings of a file, one a line; empty lines and those that begin with ``#`` are none.

    Raises:
        DataInvalid: it holds none, is not UTF-8, or has a place that there is nothing for; names the file.
        DataNotFound: there is no such folder.
    """
    text, where = _text(name, folder)
    lines = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    _check(name, "\n".join(lines), where)
    if not lines:
        raise DataInvalid(f"{where} holds no wording.", hint="Write one a line, or delete it to take the default.")
    return lines


def filled(text: str, **values: str) -> str:
    """Put values into the places of a text, all at once: braces within a value are left as they are.

    >>> filled("Which of these {noun}?", noun="{moths}")
    'Which of these {moths}?'
    """
    return _PLACE.sub(lambda match: values.get(match[1], match[0]), text)


def draw(wordings: tuple[str, ...], seed: int, key: str) -> str:
    """Return the wording that (seed, key) draws, the same on every machine."""
    drawn = hashlib.sha256(f"{seed}\n{key}".encode()).digest()
    return wordings[int.from_bytes(drawn) % len(wordings)]


def write_prompts(folder: Path) -> list[Path]:
    """Copy the default files into a folder, to be edited; files that are there are left alone.

    Raises:
        FgvrError: the folder cannot be written to.
    """
    made = []
    for name in PLACES:
        path = folder / f"{name}.txt"
        if not path.exists():
            write_text(path, _default(name))
            made.append(path)
    return made


def _default(name: str) -> str:
    return (resources.files("finedefics.data") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


def _text(name: str, folder: Path | None) -> tuple[str, str]:
    if folder is None:
        return _default(name), f"the default {name}.txt"
    if not folder.is_dir():
        raise DataNotFound(
            f"there is no folder of prompts {folder}.",
            hint=f"Make one with: fgvr-bench finedefics describe --write-prompts {folder}",
        )
    path = folder / f"{name}.txt"
    try:
        return path.read_text(encoding="utf-8-sig"), str(path)
    except FileNotFoundError:
        return _default(name), f"the default {name}.txt"
    except (OSError, UnicodeDecodeError) as error:
        raise DataInvalid(f"{path} cannot be read as UTF-8 text: {error}.") from error


def _check(name: str, text: str, where: str) -> None:
    places = _PLACE.findall(text)
    for place in places:
        if place not in PLACES[name]:
            raise DataInvalid(f"{where} has a place {{{place}}}. {did_you_mean(place, PLACES[name])}")
    for place in NEEDED.get(name, ()):
        if place not in places:
            raise DataInvalid(f"{where} has no place {{{place}}}, so every question would be the same.")


def checked_folder(folder: Path) -> None:
    """Make sure that a folder of prompts holds files of known names.

    Raises:
        FgvrError: a text file that no step reads; offers the near names.
    """
    for path in sorted(folder.glob("*.txt")):
        if path.stem not in PLACES:
            raise FgvrError(f"no step reads {path}. {did_you_mean(path.stem, PLACES)}")
