"""Rows of both stages, made of images, their descriptions and their options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fgvr_bench.interfaces import AskContext, Task
from fgvr_bench.types import Example
from finedefics.data.choices import Choices
from finedefics.data.negatives import Negatives
from finedefics.data.selecting import Selected
from finedefics.data.wordings import draw, filled
from finedefics.rows import SINGLE, TrainingRow


@dataclass(frozen=True, slots=True)
class Material:
    """All that the rows of one dataset are made of."""

    selected: Selected
    texts: Mapping[str, str]
    """By example id: the description, or the name in its place; empty without stage I."""
    options: Choices | None
    """Of stage II's questions; None without it."""
    negatives: Choices | None
    """Similar wrong categories for stage I; None without it."""
    paths: Sequence[Path]
    """Pictures, aligned with the chosen examples."""
    dropped: Mapping[str, Sequence[str]]
    """What was not chosen, and why: ids by reason."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How rows are worded and drawn."""

    task: Task
    """Stage II's question with choices: the protocol's own."""
    align: tuple[str, ...]
    """Wordings of stage I's question."""
    open: tuple[str, ...]
    """Wordings of stage II's open question."""
    align_answer: Literal["name", "description"]
    negatives: int
    seed: int


def align_rows(material: Material, ways: Ways) -> tuple[list[TrainingRow], int]:
    """Return stage I's rows, an image each, and how many negatives were left out for want of another description."""
    assert material.negatives is not None  # noqa: S101 - there with stage I
    selected, texts = material.selected, material.texts
    negatives = Negatives(texts, selected.examples, ways.negatives, ways.seed)
    rows = []
    for place, example in _each(selected.examples):
        descriptions, names = negatives.of(example, material.negatives.rows[place])
        text = texts[example.example_id]
        rows.append(
            TrainingRow(
                question=_worded(ways.align, selected, example, ways.seed, "align"),
                answer=example.label if ways.align_answer == "name" else text,
                type=SINGLE,
                image_paths=(material.paths[place],),
                attribute=text,
                neg_attributes=descriptions,
                category=example.label,
                neg_categories=names,
            )
        )
    return rows, negatives.left_out


def tune_rows(material: Material, ways: Ways) -> list[TrainingRow]:
    """Return stage II's rows, two an image: the open question, then the one with choices in their seeded order."""
    assert material.options is not None  # noqa: S101 - there with stage II
    selected = material.selected
    context = AskContext(selected.dataset.card.noun, selected.labels, ways.seed)
    rows = []
    for place, example in _each(selected.examples):
        pictures = (material.paths[place],)
        asked = _worded(ways.open, selected, example, ways.seed, "open")
        rows.append(TrainingRow(asked, example.label, SINGLE, pictures))
        question = ways.task.ask(example, material.options.rows[place], context)
        letter = question.letters[question.target or 0]
        rows.append(TrainingRow(ways.task.prompt(question, context).text, letter, SINGLE, pictures))
    return rows


def _worded(wordings: tuple[str, ...], selected: Selected, example: Example, seed: int, kind: str) -> str:
    chosen = draw(wordings, seed, f"{example.example_id}#{kind}")
    return filled(chosen, noun=selected.dataset.card.noun)


def _each(examples: Sequence[Example]) -> Iterator[tuple[int, Example]]:
    return ((place, examples[place]) for place in range(len(examples)))
