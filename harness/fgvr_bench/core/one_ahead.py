"""One batch ahead: a GPU is given its next batch before the answers to the last one are scored and stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from fgvr_bench.core.answering import Answered, Answerer, Asked
from fgvr_bench.core.loading import PreparedBatch


def answers_one_ahead(
    answerer: Answerer, batches: Iterator[PreparedBatch], stopping: Callable[[], bool]
) -> Iterator[Answered]:
    """Yield the answered batches in order; threads of their own drive the model, so that it never waits for a disk.

    There are as many as the model takes (`Model.callers`), and one batch more is waiting for them.  When the run is to
    stop, the batches that were begun are still answered and yielded.

    Raises:
        FgvrError: what kept the run from going on.
    """
    callers = answerer.model.callers
    with ThreadPoolExecutor(callers, thread_name_prefix="model") as model:
        begun: deque[Future[Asked]] = deque()
        for prepared in batches:
            begun.append(model.submit(answerer.ask, prepared))
            if len(begun) > callers:
                yield answerer.release(begun.popleft().result())
            if stopping():
                break
        while begun:
            yield answerer.release(begun.popleft().result())
        if not stopping():
            yield answerer.finish()
