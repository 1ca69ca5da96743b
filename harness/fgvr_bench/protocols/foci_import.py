"""Published answer files of protocol ``foci``, as questions and responses that can be judged again.

A file holds, for each image in its order, ``{"image", "predicted_raw", "predicted", "correct", "options"}``:
the raw answer (trimmed where the published code trims it), what it was read as, the truth, and the options as
shown.  It is JSON with the rows under ``predictions`` (as the published loop writes it), or JSON Lines.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fgvr_bench.core.files import parse_json
from fgvr_bench.errors import DataInvalid
from fgvr_bench.protocols.foci import LETTERS, UNREAD, parse_letter
from fgvr_bench.protocols.ordering import make_question_id
from fgvr_bench.types import Example, Question, Response, make_example_id

TASK = "multiple-choice"


class StoredImage:
    """Stands for the picture, which an answer file names but does not hold."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> bytes:
        """Refuse: there is no picture.

        Raises:
            OSError: always.
        """
        raise OSError(f"{self.name} is named in an answer file, which holds no images")


def read_rows(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of an answer file, JSON or JSON Lines.

    Raises:
        DataInvalid: it is neither; names the line.
    """
    try:
        whole = parse_json(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("predictions"), list):
        yield from whole["predictions"]
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataInvalid(f"line {number} of the answers is no JSON ({error}).") from error
        if not isinstance(row, dict):
            raise DataInvalid(f"line {number} of the answers is no object.")
        yield row


def import_answers(
    rows: Iterable[Mapping[str, Any]], dataset: str, split: str = "test"
) -> Iterator[tuple[Question, Response]]:
    """Turn the rows of an answer file into questions as they were shown and responses, in the file's order.

    An example's key is the base name of its image; an image that stands there again gets ``~2``, ``~3``...

    Raises:
        DataInvalid: a row lacks a field, its truth is not among its options, or it says that its raw answer was
            read as something else than the published rule reads; names the row.
    """
    seen: Counter[str] = Counter()
    for number, row in enumerate(rows, 1):
        image, raw, predicted, truth, options = _fields(row, number)
        name = posixpath.basename(image)
        seen[name] += 1
        key = name if seen[name] == 1 else f"{name}~{seen[name]}"
        _check_reading(raw, predicted, options, number)
        example_id = make_example_id(dataset, split, key)
        question_id = make_question_id(example_id, TASK)
        question = Question(
            question_id,
            Example(example_id, StoredImage(image), truth, split),
            options,
            options.index(truth),
            tuple(LETTERS[: len(options)]),
        )
        yield question, Response(question_id, completion=raw)


def _fields(row: Mapping[str, Any], number: int) -> tuple[str, str, str, str, tuple[str, ...]]:
    try:
        image, raw, predicted, truth = (row[key] for key in ("image", "predicted_raw", "predicted", "correct"))
        options = tuple(row["options"])
    except (KeyError, TypeError) as error:
        raise DataInvalid(f"row {number} of the answers lacks {error}.") from error
    texts = (image, raw, predicted, truth, *options)
    if not all(isinstance(text, str) for text in texts):
        raise DataInvalid(f"row {number} of the answers has a field that is no text.")
    if not 2 <= len(options) <= len(LETTERS) or len(set(options)) != len(options):
        raise DataInvalid(f"row {number} of the answers ({image}) has the options {list(options)}.")
    if truth not in options:
        raise DataInvalid(f"row {number} of the answers ({image}): {truth!r} is none of {list(options)}.")
    return image, raw, predicted, truth, options


def _check_reading(raw: str, predicted: str, options: tuple[str, ...], number: int) -> None:
    letter = parse_letter(raw, LETTERS[: len(options)])
    read = letter if letter.startswith(UNREAD) else options[LETTERS.index(letter)]
    if read != predicted:
        raise DataInvalid(
            f"row {number} of the answers: {raw!r} was read as {predicted!r}, where the published rule reads {read!r}.",
            hint="The file is damaged, or was read by another rule.",
        )
