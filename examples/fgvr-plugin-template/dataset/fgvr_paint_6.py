"""The dataset paint-6: squares of paint, until you put your own pictures here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin, ListedDataset
from fgvr_bench.types import Example, make_example_id

FGVR_BENCH_API = "1.0"  # the version of the plugin interface that this is written for

PAINTS = {
    "brick red": (155, 45, 40),
    "rose red": (205, 60, 95),
    "moss green": (85, 115, 60),
    "sage green": (135, 185, 115),
    "slate blue": (85, 105, 140),
    "sky blue": (125, 180, 220),
}


@dataclass(frozen=True)
class Square:
    """A picture of one colour. Worker processes read it; of one in a file they would: see FileImage."""

    colour: tuple[int, int, int]

    def read(self) -> bytes:
        """Return the picture, encoded in any format that Pillow opens."""
        return b"P6 16 16 255\n" + bytes(self.colour) * 256


class Paint6Plugin(DatasetPlugin):
    """What is known of the dataset without its files, and how to open it."""

    card = DatasetCard(
        name="paint-6",
        title="Paint 6",
        noun="paints",  # Which of these paints is shown in the image?
        classes=6,
        images={"test": 24},
        licence="not chosen yet",  # of the pictures, beside the citation: whoever looks at a board asks for both
        options="random",  # who chooses the wrong answers; "clip" takes the most similar labels
    )

    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        """Return the dataset; one with files looks for them below `roots`, and raises DataNotFound."""
        squares = [
            Example(make_example_id("paint-6", "test", f"{label}/{number}"), Square(colour), label, "test")
            for label, colour in PAINTS.items()
            for number in range(4)
        ]
        return ListedDataset(self.card, squares, labels=list(PAINTS))


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Tell fgvr-bench of the dataset."""
    register(Paint6Plugin())
