"""Reading ahead of the model: images are decoded and prepared in worker processes, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.ahead import cores
from fgvr_bench.core.images import ImageInvalid, blank_like, decode_image
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.interfaces import Preparer
from fgvr_bench.types import Prompt

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(slots=True)
class PreparedBatch:
    """What a worker hands over: the model's input for the questions that can be asked, and why others cannot."""

    numbers: list[int]
    """Question numbers, in the plan's order."""
    failures: dict[int, str]
    """By question number: why its image could not be prepared."""
    payload: Any
    """What ``preparer.batch`` made of the rest; None where nothing is left."""


class BatchSource:
    """Makes prepared batches by their question numbers; what torch's data loader indexes in its workers."""

    def __init__(self, book: QuestionBook, batches: Sequence[list[int]], preparer: Preparer) -> None:
        self.book = book
        self.batches = batches
        self.preparer = preparer

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> PreparedBatch:
        return prepare(self.book, self.batches[index], self.preparer)


def prepare(book: QuestionBook, numbers: list[int], preparer: Preparer) -> PreparedBatch:
    """Decode and prepare the images of some questions; a bad one is a failure of that question alone."""
    items, failures = [], {}
    for number in numbers:
        prompt = book.prompt(book.question(number))
        try:
            items.append(preparer.item(prompt, _picture(prompt, book.blank_images)))
        except (ImageInvalid, OSError) as error:
            failures[number] = f"image: {_one_line(error)}"
        except Exception as error:
            failures[number] = f"preparing: {type(error).__name__}: {_one_line(error)}"
    return PreparedBatch(numbers, failures, preparer.batch(items) if items else None)


def _picture(prompt: Prompt, blank: bool) -> Image:
    image = decode_image(prompt.image.read())
    return blank_like(image) if blank else image


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:500]


def default_workers(on_cpu: bool) -> int:
    """Return how many worker processes to read ahead with: half of the cores where the model needs them too."""
    return max(1, cores() // 2) if on_cpu else min(16, cores())
