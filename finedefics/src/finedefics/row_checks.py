"""What is wrong with training rows, by file and line, before a model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from fgvr_bench.core.images import ImageInvalid, decode_image
from fgvr_bench.errors import DataInvalid
from finedefics.rows import TrainingRow

Stage = Literal["align", "tune"]
"""Stage I (contrastive alignment, on descriptions) or stage II (instruction tuning, on questions and answers)."""

SHOWN = 10
"""Faults that one message names; the others are counted."""


def check_rows(
    rows: Sequence[TrainingRow],
    stage: Stage = "align",
    *,
    decode: bool = True,
    checked: Callable[[int], None] | None = None,
) -> list[str]:
    """Check everything that would otherwise be found out in the middle of training.

    Refused: no rows; an image that is absent or cannot be decoded; an empty negative; in stage I a row without
    description or category, and two rows with the same image; in stage II two rows that put the same question
    about the same image.  Told, but allowed: categories with one image (few-shot sets have them), negatives whose
    descriptions and names are not equal in number, a negative that is the row's own category.

    Args:
        rows: as `finedefics.rows.read_rows` gives them.
        stage: what they are for.
        decode: whether images are decoded; without it only their being there is checked.
        checked: called with the number of images checked so far, for a progress bar.

    Returns:
        What was told, a sentence each.

    Raises:
        DataInvalid: names the faults, each by file and line.
    """
    if not rows:
        raise DataInvalid("There are no training rows.", hint="Make them with: fgvr-bench finedefics build-data")
    faults = [*_fields(rows, stage), *_repeated(rows, stage), *_images(rows, decode, checked)]
    if faults:
        more = f"\nand {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DataInvalid(
            "The training rows cannot be used:\n" + "\n".join(faults[:SHOWN]) + more,
            hint=_next(rows, stage),
        )
    return list(_told(rows, stage))


def _next(rows: Sequence[TrainingRow], stage: Stage) -> str:
    if stage == "align" and not any(row.attribute or row.category for row in rows):
        return "These look like rows of stage II; build-data writes those of stage I to pretrain.csv."
    return "Correct these rows or leave them out."


def _fields(rows: Sequence[TrainingRow], stage: Stage) -> Iterator[str]:
    for row in rows:
        for name, negatives in (("neg_attribute", row.neg_attributes), ("neg_category", row.neg_categories)):
            if any(not negative.strip() for negative in negatives):
                yield f"{row.where}: an empty negative in {name}"
        if not row.answer.strip():
            yield f"{row.where}: no answer"
        if stage == "align":
            if not (row.attribute or "").strip():
                yield f"{row.where}: no attribute; every row of stage I needs a description"
            if not (row.category or "").strip():
                yield f"{row.where}: no category; every row of stage I needs one"


def _repeated(rows: Sequence[TrainingRow], stage: Stage) -> Iterator[str]:
    first: dict[tuple[tuple[Path, ...], str], TrainingRow] = {}
    for row in rows:
        key = (row.image_paths, row.question if stage == "tune" else "")
        if key in first:
            same = "image and question" if stage == "tune" else "image"
            yield f"{row.where}: the same {same} as {first[key].where} ({row.image_paths[0]})"
        else:
            first[key] = row


def _images(rows: Sequence[TrainingRow], decode: bool, checked: Callable[[int], None] | None) -> Iterator[str]:
    users: dict[Path, TrainingRow] = {}
    for row in rows:
        for path in row.image_paths:
            users.setdefault(path, row)
    with ThreadPoolExecutor() as pool:
        outcomes = pool.map(_decoded if decode else _present, users, chunksize=64)
        for number, ((path, row), fault) in enumerate(zip(users.items(), outcomes, strict=True), start=1):
            if checked is not None:
                checked(number)
            if fault is not None:
                yield f"{row.where}: image {path}: {fault}"


def _present(path: Path) -> str | None:
    return None if path.is_file() else "there is no such file"


def _decoded(path: Path) -> str | None:
    try:
        decode_image(path.read_bytes())
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except ImageInvalid as error:
        return str(error)
    except ValueError as error:
        return f"it cannot be read: {error}"  # a name that no file can have
    return None


def _told(rows: Sequence[TrainingRow], stage: Stage) -> Iterator[str]:
    images = Counter(row.category for row in {row.image_paths: row for row in rows}.values() if row.category)
    for row in rows:
        if row.category and images[row.category] == 1:
            yield f"{row.where}: {row.category} has one image only."
        if row.neg_attributes and row.neg_categories and len(row.neg_attributes) != len(row.neg_categories):
            counts = f"{len(row.neg_attributes)} negative descriptions, {len(row.neg_categories)} negative categories"
            yield f"{row.where}: {counts}; they are not paired."
        if stage == "align" and row.category in row.neg_categories:
            yield f"{row.where}: {row.category} is its own negative; it is left out of the sums."
