"""The JSON of published option sets: reading it, and giving its bytes back from a converted set.

A file maps a label to a list of ``{"image", "options" (truth first), "groundtruth"}``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import parse_json
from fgvr_bench.core.listing import ORDINAL
from fgvr_bench.errors import OptionsInvalid
from fgvr_bench.types import Options


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One question of a published file."""

    label: str
    image: str
    options: tuple[str, ...]
    example_id: str = ""
    """Its example, once it is matched."""


def read_rows(file: Path, raw: bytes) -> list[PublishedRow]:
    """Return the questions of a file in their order; `file` is for messages.

    Raises:
        OptionsInvalid: not of the form; names label and place.
    """
    try:
        content = parse_json(raw)
    except ValueError as error:
        raise OptionsInvalid(f"{file} is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise OptionsInvalid(f"{file} is no mapping of labels to questions.")
    rows: list[PublishedRow] = []
    for label, questions in content.items():
        for place, question in enumerate(questions if isinstance(questions, list) else [questions], 1):
            try:
                image, options, truth = question["image"], tuple(question["options"]), question["groundtruth"]
            except (KeyError, TypeError) as error:
                raise OptionsInvalid(
                    f"{file}: question {place} of {label!r} has no image, options or groundtruth."
                ) from error
            if truth != label or not options or options[0] != label or len(set(options)) != len(options):
                raise OptionsInvalid(
                    f"{file}: question {place} of {label!r} ({image}) has the truth {truth!r} and the options "
                    f"{list(options)}; {label!r} has to be the truth and the first of them."
                )
            rows.append(PublishedRow(label, str(image), options))
    if not rows:
        raise OptionsInvalid(f"{file} holds no questions.")
    return rows


def recipe_of(name: str, raw: bytes, rows: Sequence[PublishedRow], order: Sequence[int]) -> dict[str, Any]:
    """Return what brings the sorted rows back to the file: order of rows, folders and suffixes of images."""
    place_of = {original: place for place, original in enumerate(order)}
    folders: dict[str, str] = {}
    for row in rows:
        folders.setdefault(row.label, os.path.dirname(row.image))
    recipe: dict[str, Any] = {
        "name": name,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "order": [place_of[original] for original in range(len(rows))],
        "folders": folders if len(set(folders.values())) > 1 else next(iter(folders.values())),
        "ascii": True,
    }
    converted = [Options(rows[place].example_id, rows[place].options) for place in order]
    if render(converted, recipe) != raw:
        recipe["ascii"] = raw.isascii()
        recipe["images"] = [row.image for row in rows]
    return recipe


def render(rows: Sequence[Options], recipe: Mapping[str, Any]) -> bytes:
    """Return the file's bytes from the rows of a converted set and what `recipe_of` kept."""
    content: dict[str, list[dict[str, Any]]] = {}
    for row, image in zip((rows[place] for place in recipe["order"]), _images(rows, recipe), strict=True):
        question = {"image": image, "options": list(row.choices), "groundtruth": row.truth}
        content.setdefault(row.truth, []).append(question)
    return json.dumps(content, ensure_ascii=recipe["ascii"]).encode()


def _images(rows: Sequence[Options], recipe: Mapping[str, Any]) -> Iterator[str]:
    if "images" in recipe:
        yield from recipe["images"]
        return
    folders = recipe["folders"]
    for place in recipe["order"]:
        row = rows[place]
        repeated = ORDINAL.fullmatch(row.example_id)
        name = os.path.basename(repeated[1] if repeated else row.example_id)
        folder = folders if isinstance(folders, str) else folders[row.truth]
        yield f"{folder}/{name}" if folder else name
