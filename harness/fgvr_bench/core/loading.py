"""Reading ahead of the model: images are decoded and prepared in worker processes, batch by batch."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.images import ImageInvalid, blank_like, decode_image
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.errors import FgvrError
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


def default_workers(needs_images: bool, on_cpu: bool) -> int:
    """Return how many worker processes to read ahead with: half of the cores where the model needs them too."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not needs_images:
        return 0
    return max(1, cores // 2) if on_cpu else min(16, cores)


def read_ahead(source: BatchSource, workers: int, pin_memory: bool) -> Iterator[PreparedBatch]:
    """Yield the source's batches in order, prepared by `workers` processes (0: here, when asked for).

    Raises:
        FgvrError: a worker process was killed from outside.
    """
    if workers == 0 or len(source) == 0:
        for index in range(len(source)):
            yield source[index]
        return
    from torch.utils.data import DataLoader

    loader: DataLoader[PreparedBatch] = DataLoader(
        source,  # type: ignore[arg-type]  # a map-style source by protocol, without torch in its bases
        batch_size=None,
        num_workers=min(workers, len(source)),
        prefetch_factor=2,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise FgvrError(
            "a process that reads images ahead was killed, most often for want of memory.",
            hint="Type the same command again with --workers 1: it goes on with what is on disk.",
        ) from error


def _start_worker(_: int) -> None:
    """Leave interrupts to the parent, which finishes the batch and saves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
