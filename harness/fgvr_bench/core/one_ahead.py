"""One batch ahead: a GPU is given its next batch before the answers to the last one are scored and stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from fgvr_bench.core.answering import Answered, Answerer
from fgvr_bench.core.loading import PreparedBatch


def answers_one_ahead(
    answerer: Answerer, batches: Iterator[PreparedBatch], stopping: Callable[[], bool]
) -> Iterator[Answered]:
    """Yield the answered batches in order; a thread of its own drives the model, so that it never waits for a disk.

    When the run is to stop, the batches that were begun are still answered and yielded.

    Raises:
        FgvrError: what kept the run from going on.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="model") as model:
        begun: Future[Answered] | None = None
        for prepared in batches:
            following = model.submit(answerer.answer, prepared)
            if begun is not None:
                yield begun.result()
            begun = following
            if stopping():
                break
        if begun is not None:
            yield begun.result()
        if not stopping():
            yield model.submit(answerer.finish).result()
