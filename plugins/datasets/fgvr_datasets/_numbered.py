"""Examples that have no names: their numbers are their ids."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import overload

from fgvr_bench.types import Example, ImageSource


class NumberedExamples(Sequence[Example]):
    """Examples in the order that they came in, built when asked for; holds a number for each."""

    __slots__ = ("_digits", "_image", "_label", "_labels", "_prefix", "_split")

    def __init__(self, dataset: str, split: str, labels: Sequence[str], image: Callable[[int], ImageSource]) -> None:
        """Take the label of each example, and what returns the image of a number."""
        self._prefix, self._split, self._image = f"{dataset}/{split}/", split, image
        numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
        self._labels = tuple(numbers)
        self._label = array("I", (numbers[label] for label in labels))
        self._digits = max(6, len(str(len(labels))))

    def __len__(self) -> int:
        return len(self._label)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        example_id = f"{self._prefix}{number:0{self._digits}}"
        return Example(example_id, self._image(number), self._labels[self._label[number]], self._split)
