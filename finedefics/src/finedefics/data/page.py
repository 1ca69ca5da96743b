"""A page that shows training rows as a person would judge them: the picture, what is asked, and the negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import write_text
from fgvr_bench.core.option_page import picture_uri, sample
from finedefics.data.making import Material
from finedefics.rows import TrainingRow

CARDS = 24


@dataclass(frozen=True, slots=True)
class Shown:
    """What may be shown of one dataset."""

    material: Material
    align: Sequence[TrainingRow]
    """A row an image; empty without stage I."""
    tune: Sequence[TrainingRow]
    """Two rows an image; empty without stage II."""


def write_examples(path: Path, shown: Sequence[Shown], report: Mapping[str, Any], seed: int) -> None:
    """Write a page of `CARDS` images drawn by lot; it holds its pictures and loads nothing.

    Raises:
        FgvrError: it cannot be written.
    """
    from jinja2 import Environment

    every = [(each, place) for each in shown for place in range(len(each.material.selected.examples))]
    cards = [_card(*every[number]) for number in sample(len(every), CARDS, seed)]
    text = (resources.files("finedefics.data") / "page.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    write_text(path, page.render(report=report, cards=cards))


def _card(shown: Shown, place: int) -> dict[str, Any]:
    selected = shown.material.selected
    example = selected.examples[place]
    align = shown.align[place] if shown.align else None
    return {
        "id": example.example_id,
        "name": selected.dataset.display(example.label),
        "picture": picture_uri(example),
        "align": align,
        "negatives": [] if align is None else list(zip(align.neg_categories, align.neg_attributes, strict=True)),
        "tune": shown.tune[2 * place : 2 * place + 2],
    }
