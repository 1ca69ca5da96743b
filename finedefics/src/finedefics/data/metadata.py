"""Descriptions without a model, from a dataset that knows what its images look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fgvr_bench.core.taxonomy import taxonomy_of
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Dataset
from fgvr_bench.types import Example
from finedefics.data.descriptions import Described, path_of
from finedefics.data.selecting import Selected
from finedefics.data.texts import LONGEST_DESCRIPTION, LONGEST_VALUE, one_line

Form = Literal["class", "image"]
"""``class``: the dataset's description of the category; ``image``: the image's own attributes, one after the other."""


def from_metadata(selected: Selected, form: Form = "class") -> tuple[dict[str, Any], list[Described]]:
    """Return the header's fields and the rows of a file of descriptions, made from a dataset's metadata alone.

    Ranks above the labels are no attributes: they name what something is, not what it looks like.

    Raises:
        UsageError: the dataset knows nothing of that form.
    """
    dataset, ranks = selected.dataset, taxonomy_of(selected.dataset)
    rows, names = [], dict[str, None]()
    for example in selected.examples:
        attributes = _attributes(example, ranks)
        names.update(dict.fromkeys(attributes))
        description = _of_class(dataset, example) if form == "class" else _of_image(dataset, example, attributes)
        rows.append(Described(example.example_id, example.label, attributes, description, path_of(example)))
    return {"source": f"metadata: {form}", "attributes": {dataset.card.noun: list(names)}, "missing": []}, rows


def _attributes(example: Example, ranks: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    above = ranks.get(example.label, ())
    given = {one_line(name, LONGEST_VALUE): one_line(value, LONGEST_VALUE) for name, value in example.metadata.items()}
    return {name: value for name, value in given.items() if value and value not in above}


def _of_class(dataset: Dataset, example: Example) -> str:
    description = one_line(dataset.description(example.label) or "", LONGEST_DESCRIPTION)
    if not description:
        raise UsageError(
            f"{dataset.card.name} has no description of {example.label!r} of its own.",
            hint="Have a model describe the images: fgvr-bench finedefics describe --model MODEL",
        )
    return description


def _of_image(dataset: Dataset, example: Example, attributes: Mapping[str, str]) -> str:
    if not attributes:
        raise UsageError(
            f"{dataset.card.name} knows no attributes of {example.example_id}.",
            hint="Have a model read them: fgvr-bench finedefics describe --model MODEL",
        )
    return one_line(", ".join(f"{name}: {value}" for name, value in attributes.items()), LONGEST_DESCRIPTION)
