"""The questions of a run, by number; built when asked for, never all held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from fgvr_bench.interfaces import AskContext, Task
from fgvr_bench.types import Example, Options, Prompt, Question

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Picked(Sequence[T]):
    """Some items of a lazy sequence, by their places."""

    items: Sequence[T]
    places: Any
    """int array of places, rising."""

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Picked[T]: ...
    def __getitem__(self, index: int | slice) -> T | Picked[T]:
        if isinstance(index, slice):
            return Picked(self.items, self.places[index])
        return self.items[int(self.places[index])]


@dataclass(frozen=True, slots=True)
class QuestionBook:
    """Question ``q`` is permutation ``q % permutations`` of example ``q // permutations``."""

    task: Task
    context: AskContext
    examples: Sequence[Example]
    options: Sequence[Options] | None
    """Aligned with `examples`; None for a task without options."""
    permutations: int = 1
    blank_images: bool = False
    """Show a grey picture of the same size in place of each image."""

    def __len__(self) -> int:
        return len(self.examples) * self.permutations

    def question(self, number: int) -> Question:
        """Return question `number`, the same whenever and wherever it is built."""
        index, permutation = divmod(number, self.permutations)
        options = None if self.options is None else self.options[index]
        return self.task.ask(self.examples[index], options, self.context, permutation)

    def prompt(self, question: Question) -> Prompt:
        """Return what a model gets to see of a question."""
        return self.task.prompt(question, self.context)
