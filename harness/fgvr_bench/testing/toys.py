"""What plugins are tried on: small painted pictures, labels, options and the questions of the built-in protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fgvr_bench.interfaces import AskContext, DatasetCard, ListedDataset, Task
from fgvr_bench.types import Example, Options, Question, make_example_id

COLOURS = {
    "brick red": (155, 45, 40),
    "rose red": (205, 60, 95),
    "moss green": (85, 115, 60),
    "sage green": (135, 185, 115),
    "slate blue": (85, 105, 140),
    "sky blue": (125, 180, 220),
}
LABELS = tuple(COLOURS)
CONTEXT = AskContext("paints", LABELS)
CARD = DatasetCard("toy-paints", "Toy paints", "paints", len(LABELS), licence="MIT", options="random")
SIZES = ((40, 32), (32, 48), (36, 36), (56, 32))


@dataclass(frozen=True, slots=True)
class Painted:
    """A picture in stripes of one colour, light and dark; every number has a size and a pattern of its own."""

    colour: tuple[int, int, int]
    number: int
    path: str
    """A file name as datasets have them; whether it gives the colour away makes no other picture."""

    def read(self) -> bytes:
        """Return a PPM file."""
        width, height = SIZES[self.number % len(SIZES)]
        step = 3 + self.number % 5
        dark = bytes(value * 3 // 4 for value in self.colour)
        rows = (
            b"".join(bytes(self.colour) if (x + y) // step % 2 else dark for x in range(width)) for y in range(height)
        )
        return b"P6 %d %d 255\n" % (width, height) + b"".join(rows)


def toy_examples(count: int, split: str = "test") -> list[Example]:
    """Return examples of all colours, sorted by id; as in many datasets, ids and file names hold the label."""
    made = []
    for number in range(count):
        label = LABELS[number % len(LABELS)]
        key = f"{label}/{number:04}.ppm"
        picture = Painted(COLOURS[label], number, f"{split}/{key}")
        made.append(Example(make_example_id(CARD.name, split, key), picture, label, split))
    return sorted(made, key=lambda example: example.example_id)


def toy_options(example: Example, k: int = 4) -> Options:
    """Return the truth and k - 1 other colours, drawn for the example."""
    others = [label for label in LABELS if label != example.label]
    others.sort(key=lambda label: hashlib.sha256(f"{example.example_id}/{label}".encode()).digest())
    place = LABELS.index(example.label)
    return Options(example.example_id, (example.label, *others[: k - 1]), truth_rank=1 + place % 3)


def toy_questions(task: Task, count: int, context: AskContext = CONTEXT, permutations: int = 1) -> list[Question]:
    """Return a task's questions about the first `count` toy examples."""
    return [
        task.ask(example, toy_options(example) if task.needs_options else None, context, permutation)
        for example in toy_examples(count)
        for permutation in range(permutations)
    ]


class ToyDataset(ListedDataset):
    """The toy examples as a dataset that knows what its siblings are."""

    def __init__(self, examples: Sequence[Example] = (), root: Path | None = None) -> None:
        super().__init__(CARD, examples or toy_examples(18), LABELS, root)

    def taxonomy(self, label: str) -> tuple[str, ...]:
        """Return the plain colour."""
        return (label.rsplit(" ", 1)[-1].capitalize(),)

    def description(self, label: str) -> str | None:
        """Return the colour in numbers."""
        return "red {}, green {}, blue {}".format(*COLOURS[label])

    def source_digest(self, split: str) -> str | None:
        """Vouch for the pictures: they follow from their numbers."""
        return hashlib.sha256(f"toy-paints/{split}".encode()).hexdigest()
