"""A dataset: squares of paint in six colours, made when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin
from fgvr_bench.types import Example, make_example_id

PAINTS = {
    "brick red": (155, 45, 40),
    "rose madder": (205, 60, 95),
    "moss green": (85, 115, 60),
    "sage green": (135, 155, 115),
    "slate blue": (85, 105, 140),
    "sky blue": (125, 180, 220),
}
"""Label and colour (red, green, blue; 0 to 255)."""

EACH = 4


@dataclass(frozen=True)
class Square:
    """A picture of one colour; small, and picklable, because worker processes read it."""

    colour: tuple[int, int, int]

    def read(self) -> bytes:
        """Return the picture as a PPM file of 16 by 16 pixels."""
        return b"P6 16 16 255\n" + bytes(self.colour) * 256


class Paint6(Dataset):
    """The opened dataset."""

    root = None

    def __init__(self, card: DatasetCard) -> None:
        self.card = card

    def labels(self) -> Sequence[str]:
        """Return the class names."""
        return list(PAINTS)

    def examples(self, split: str = "test") -> Sequence[Example]:
        """Return the examples of a split, sorted by id; there is the test split only."""
        if split != "test":
            raise UsageError(f"paint-6 has no split {split!r}.", hint="It has: test")
        ids = [
            (label, make_example_id("paint-6", split, f"{label}/{i}")) for label in sorted(PAINTS) for i in range(EACH)
        ]
        return [Example(example_id, Square(PAINTS[label]), label, split) for label, example_id in ids]


class Paint6Plugin(DatasetPlugin):
    """The declaration: what is known of the dataset without opening it."""

    card = DatasetCard(
        name="paint-6",
        title="Six paints",
        noun="paints",
        classes=len(PAINTS),
        images={"test": EACH * len(PAINTS)},
        licence="MIT",
        options="random",
        in_all=False,
    )

    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        """Return the dataset; one with files would look for them below `roots`."""
        return Paint6(self.card)


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Tell fgvr-bench of the dataset."""
    register(Paint6Plugin())
