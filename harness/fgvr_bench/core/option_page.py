"""A page that shows questions as a person would judge them: the image, its choices, and their similarities."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.files import write_text
from fgvr_bench.core.images import ImageInvalid, decode_image

if TYPE_CHECKING:
    from fgvr_bench.core.option_files import OptionSet
    from fgvr_bench.interfaces import Dataset
    from fgvr_bench.types import Example, Options

SIDE = 240
"""Longest side of a picture on the page, in pixels."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a page shows."""

    shown: int
    unreadable: int


def sample(count: int, wanted: int, seed: int) -> list[int]:
    """Return `wanted` of `count` positions drawn by lot, rising."""
    return sorted(random.Random(seed).sample(range(count), min(wanted, count)))  # noqa: S311 - no secret


def write_page(path: Path, options: OptionSet, dataset: Dataset, wanted: int = 60, seed: int = 0) -> Sheet:
    """Write a page of `wanted` questions of an option set, drawn by lot; pictures are inside it.

    Raises:
        OptionsInvalid: the set does not fit the dataset.
        FgvrError: the page cannot be written.
    """
    from jinja2 import Environment

    examples = dataset.examples(options.header["split"])
    rows = options.for_examples(examples)
    cards = [_card(examples[index], rows[index], dataset) for index in sample(len(rows), wanted, seed)]
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    write_text(path, page.render(header=options.header, cards=cards, total=len(rows), digest=options.digest))
    return Sheet(len(cards), sum(card["picture"] is None for card in cards))


def _card(example: Example, row: Options, dataset: Dataset) -> dict[str, Any]:
    similarities: Sequence[float | None] = row.similarities or [None] * len(row.choices)
    best = max((value for value in similarities if value is not None), default=None)
    return {
        "id": example.example_id,
        "picture": picture_uri(example),
        "rank": row.truth_rank,
        "choices": [
            {
                "name": dataset.display(label),
                "truth": place == 0,
                "similarity": None if value is None else f"{value:.3f}",
                "width": 0 if value is None or not best else round(100 * max(0.0, value) / best),
            }
            for place, (label, value) in enumerate(zip(row.choices, similarities, strict=True))
        ],
    }


def picture_uri(example: Example) -> str | None:
    """Return a small JPEG as a data URI; None where the image cannot be read."""
    try:
        image = decode_image(example.image.read())
    except (ImageInvalid, OSError):
        return None
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Options of {{ header.dataset }} {{ header.split }}</title>
<style>
  :root { color-scheme: light dark; --edge: #8884; --truth: #2a7d4f; --bar: #8883; }
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
  article { border: 1px solid var(--edge); border-radius: .5rem; padding: .8rem; }
  img, .lost { display: block; height: 15rem; width: 100%; object-fit: contain; background: #8881; }
  .lost { display: grid; place-items: center; }
  ol { list-style: none; padding: 0; margin: .6rem 0 0; }
  li { display: flex; justify-content: space-between; gap: 1rem; padding: .1rem .4rem; border-radius: .2rem;
       background: linear-gradient(to right, var(--bar) var(--width), transparent var(--width)); }
  li.truth { color: var(--truth); font-weight: 600; }
  small { opacity: .75; overflow-wrap: anywhere; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
  dt { opacity: .75; } dd { margin: 0; overflow-wrap: anywhere; }
</style>
<h1>Options of {{ header.dataset }}, {{ header.split }}</h1>
<p>{{ cards|length }} of {{ total }} questions, drawn by lot. The truth is green; the others stand from the least to
the most similar.</p>
<dl>
  <dt>miner</dt><dd>{{ header.miner }}, k = {{ header.k }}</dd>
  <dt>digest</dt><dd>{{ digest }}</dd>
{% for name, value in (header.miner_inputs or {}).items() if value is string %}
  <dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}
{% if header.audit %}
  <dt>image-blind accuracy</dt><dd>{{ "%.1f"|format(100 * header.audit.strongest.accuracy) }} % (chance
  {{ "%.1f"|format(100 * header.audit.chance) }} %)</dd>
{% endif %}
</dl>
<main>
{% for card in cards %}
<article>
  {% if card.picture %}
  <img src="{{ card.picture }}" alt="{{ card.choices[0].name }}">
  {% else %}
  <div class="lost">this image cannot be read</div>
  {% endif %}
  <ol>
  {% for choice in card.choices %}
    <li{% if choice.truth %} class="truth"{% endif %} style="--width: {{ choice.width }}%">
      <span>{{ choice.name }}</span><span>{{ choice.similarity or "" }}</span></li>
  {% endfor %}
  </ol>
  <small>{{ card.id }}{% if card.rank %} · the truth is number {{ card.rank }} of all labels{% endif %}</small>
</article>
{% endfor %}
</main>
</html>
"""
