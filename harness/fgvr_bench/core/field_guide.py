"""A field guide: what describes each label, put before the questions of a run (``--field-guide``).

Accuracy with it minus accuracy without separates seeing from knowing: whoever sees what is described needs no
knowledge of names any more.  The words come from the dataset, or from a file: a CSV file with a label and its
description a line (a first line ``label,description`` is a head), or JSON Lines with these two keys.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fgvr_bench.core.annotations import read_lines
from fgvr_bench.core.files import digest, parse_json
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.core.paths import at_home
from fgvr_bench.errors import DataInvalid, UsageError

if TYPE_CHECKING:
    from fgvr_bench.core.questions import QuestionBook
    from fgvr_bench.interfaces import Dataset, Decoding
    from fgvr_bench.types import Json

OWN = "dataset"
"""In place of a file: the dataset's own descriptions."""
WORDING = "field-guide-1"
"""Name of the words around the descriptions (`protocols.asking.field_guide`); part of a run's identity."""
KEYS = ("label", "description")

_SPECIAL = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
"""What a model may take for a place of a picture, or for the end of a turn."""


def read_guide(spec: str, dataset: Dataset) -> dict[str, str]:
    """Return the description of every label, in published order.

    Args:
        spec: `OWN`, or a file.
        dataset: whose labels they describe.

    Raises:
        UsageError: a label has no description; or there is no such file.
        DataInvalid: a line of the file is wrong; names file and line.
    """
    name, labels = dataset.card.name, dataset.labels()
    if spec == OWN:
        known = {label: text for label in labels if (text := _plain(dataset.description(label) or ""))}
        if not known:
            raise UsageError(
                f"{name} does not describe its labels.",
                hint="Give --field-guide a file with a label and its description a line (docs/protocols.md).",
            )
        source = f"{name} itself"
    else:
        known, source = _read_file(at_home(spec), dataset), spec
    absent = [label for label in labels if label not in known]
    if absent:
        raise UsageError(
            f"{source} describes {len(known):,} of the {len(labels):,} labels of {name}; "
            f"{absent[0]!r} is not among them.",
            hint="A field guide describes every label: what is left out would be told apart by that alone.",
        )
    return {label: known[label] for label in labels}


def guide_inputs(descriptions: Mapping[str, str]) -> dict[str, Json]:
    """Return what a run's identity says of its field guide: nothing where there is none."""
    if not descriptions:
        return {}
    return {"field_guide": {"digest": digest(dict(descriptions)), "wording": WORDING}}


def check_shown(book: QuestionBook, protocol: str, decoding: Decoding) -> None:
    """Make sure that the model gets to see the guide.

    Raises:
        UsageError: it answers by similarity of picture and label, or the task has no place for descriptions.
    """
    if decoding.name == "similarity":
        raise UsageError(
            "--field-guide: a model that answers by similarity compares picture and labels and reads no question.",
            hint="Leave --field-guide out, or name a model that reads (see: fgvr-bench models).",
        )
    question = book.question(0)
    labels = [question.subject] if question.subject else question.choices
    text = book.prompt(question).text
    if not labels or not all(book.context.descriptions[label] in text for label in labels):
        raise UsageError(
            f"task {book.task.name} of protocol {protocol} has no place for a field guide: its words are fixed, or it "
            "shows no choices.",
            hint="Use --protocol fgvr-1 with --task multiple-choice or yes-no.",
        )


def _read_file(path: Path, dataset: Dataset) -> dict[str, str]:
    if not path.is_file():
        raise UsageError(
            f"--field-guide: there is no file {path}.",
            hint=f"Give a CSV or JSONL file, or --field-guide {OWN} for the dataset's own descriptions.",
        )
    labels = set(dataset.labels())
    found: dict[str, str] = {}
    for where, label, description in _rows(path):
        if label not in labels:
            raise DataInvalid(
                f"{where} describes {label!r}, which {dataset.card.name} does not have. "
                f"{did_you_mean(label, sorted(labels))}"
            )
        if label in found:
            raise DataInvalid(f"{where} describes {label!r} a second time.")
        text = _plain(description)
        if not text:
            raise DataInvalid(f"{where} has no description of {label!r}.")
        if special := _SPECIAL.search(text):
            raise DataInvalid(
                f"{where} holds {special.group()!r}, which a model may take for a sign of its own.",
                hint="Write it in words.",
            )
        found[label] = text
    return found


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield place, label and description of each line."""
    json_lines = path.suffix.lower() in {".jsonl", ".json", ".ndjson"}
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        cells = _from_json(line, where) if json_lines else _from_csv(line, where)
        if not json_lines and number == 1 and tuple(cell.lower() for cell in cells) == KEYS:
            continue
        yield where, *cells


def _from_json(line: str, where: str) -> tuple[str, str]:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise DataInvalid(f"{where} is no JSON: {error}.") from error
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in KEYS):
        raise DataInvalid(f'{where} is not of the form {{"label": "...", "description": "..."}}.')
    return value["label"], value["description"]


def _from_csv(line: str, where: str) -> tuple[str, str]:
    try:
        (cells,) = csv.reader([line], strict=True, skipinitialspace=True)
    except csv.Error as error:
        raise DataInvalid(f"{where} is no line of a CSV file: {error}.") from error
    if len(cells) != len(KEYS):
        raise DataInvalid(
            f"{where} has {len(cells)} cells; expected a label and its description.",
            hint='Quote a description that holds commas: label,"brown, with a ring".',
        )
    return cells[0].strip(), cells[1]


def _plain(text: str) -> str:
    """Return a description in one line."""
    return " ".join(text.split())
