"""Reading ahead of the model: images are decoded and prepared in worker processes, batch by batch."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.ahead import cores
from fgvr_bench.core.images import ImageInvalid, blank_like, decode_image
from fgvr_bench.core.interrupts import is_request
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import Model, Preparer
from fgvr_bench.types import Prompt

if TYPE_CHECKING:
    from PIL.Image import Image


MACHINE_FAULTS = frozenset({errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE})
"""Errors of a read that say nothing of the file."""


@dataclass(slots=True)
class PreparedBatch:
    """What a worker hands over: the model's input for the questions that can be asked, and why others cannot."""

    numbers: list[int]
    """Question numbers, in the plan's order."""
    failures: dict[int, str]
    """By question number: why its image could not be prepared."""
    payload: Any
    """What ``preparer.batch`` made of the rest; None where nothing is left."""
    unjoined: str | None = None
    """Why the rest could not be joined to a batch; its questions are then asked one by one."""
    stop: FgvrError | None = None
    """What keeps the run from going on; raised by whoever takes the batch."""

    def pin_memory(self) -> PreparedBatch:
        """Move tensors to where a GPU may copy them from by itself: for torch's data loader."""
        if isinstance(self.payload, dict):
            self.payload = {
                name: value.pin_memory() if hasattr(value, "pin_memory") else value
                for name, value in self.payload.items()
            }
        return self


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
    """Decode and prepare the images of some questions; a bad one is a failure of that question alone.

    A fault of the machine (no memory, no file handles, a disk that fails) is none of the question's: it stops the
    run, so that no verdict hangs on it.  It travels as a value, for exceptions lose their words between processes.
    """
    items: list[Any] = []
    failures: dict[int, str] = {}
    try:
        for number in numbers:
            _prepare_one(book, number, preparer, items, failures)
    except FgvrError as error:
        return PreparedBatch(numbers, failures, None, stop=error)
    try:
        return PreparedBatch(numbers, failures, preparer.batch(items) if items else None)
    except BaseException as error:
        if is_request(error):
            raise
        return PreparedBatch(numbers, failures, None, unjoined=f"{type(error).__name__}: {_one_line(error)}")


def _prepare_one(
    book: QuestionBook, number: int, preparer: Preparer, items: list[Any], failures: dict[int, str]
) -> None:
    prompt = book.prompt(book.question(number))
    try:
        items.append(preparer.item(prompt, _picture(prompt, book.blank_images)))
    except (ImageInvalid, OSError, MemoryError) as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in MACHINE_FAULTS:
            raise FgvrError(
                f"the image of {prompt.question_id} could not be read: {_one_line(error) or 'no memory left'}.",
                hint="That is a fault of the machine, not of the image; type the same command again to go on.",
            ) from error
        failures[number] = f"image: {_one_line(error)}"
    except FgvrError:
        raise
    except BaseException as error:
        if is_request(error):
            raise
        failures[number] = f"preparing: {type(error).__name__}: {_one_line(error)}"


def _picture(prompt: Prompt, blank: bool) -> Image:
    image = decode_image(prompt.image.read())
    return blank_like(image) if blank else image


def _one_line(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:500]


LOOKED_AT = 64
"""Questions among which a large one is sought."""


def copies_of_a_large_question(book: QuestionBook, model: Model, count: int) -> tuple[list[Prompt], Any]:
    """Return `count` times the prompt of a large question, and the batch of as many: what memory is measured with.

    Raises:
        FgvrError: none of the questions looked at can be prepared.
    """
    step = max(1, len(book) // LOOKED_AT)
    best: tuple[int, Prompt, Any] | None = None
    for number in range(0, len(book), step):
        items: list[Any] = []
        if model.needs_images:
            _prepare_one(book, number, model.preparer, items, {})
        size = max((_bytes(item) for item in items), default=-1)
        if items and (best is None or size > best[0]):
            best = size, book.prompt(book.question(number)), items[0]
    if best is None:
        raise FgvrError("none of the images looked at can be prepared.", hint="Give --batch-size to go on without.")
    return [best[1]] * count, model.preparer.batch([best[2]] * count)


def _bytes(item: Any) -> int:
    """Return how much the tensors of an item hold."""
    values = item.values() if isinstance(item, dict) else [item]
    return sum(value.numel() for value in values if hasattr(value, "numel"))


def default_workers(on_cpu: bool, sharing: int = 1) -> int:
    """Return how many worker processes to read ahead with: half of the cores where the model needs them too.

    ``sharing``: processes like this one that share the cores.
    """
    own = max(1, cores() // sharing)
    return max(1, own // 2) if on_cpu else min(16, own)
