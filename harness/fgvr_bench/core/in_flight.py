"""Many batches under way at once, for a model that is waited for rather than computed with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from fgvr_bench.core.answering import Answered, Answerer
from fgvr_bench.core.loading import PreparedBatch
from fgvr_bench.errors import FgvrError


def answers_in_flight(
    answerer: Answerer, batches: Iterator[PreparedBatch], at_once: int, stopping: Callable[[], bool]
) -> Iterator[Answered]:
    """Keep up to `at_once` questions under way (a batch at least), and yield each batch as soon as it is answered.

    When the run is to stop, or cannot go on, no more are begun; what is under way is waited for and yielded first,
    for it may have been paid for.

    Raises:
        FgvrError: what kept the run from going on.
    """
    under_way: dict[Future[Any], PreparedBatch] = {}
    questions = 0
    failure: FgvrError | None = None
    source: Iterator[PreparedBatch] | None = batches
    while True:
        while source is not None and questions < at_once:
            prepared = None if stopping() or failure is not None else next(source, None)
            if prepared is None:
                source = None
                break
            under_way[answerer.begin(prepared)] = prepared
            questions += len(prepared.numbers)
        if not under_way:
            break
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for future in [future for future in under_way if future in done]:
            prepared = under_way.pop(future)
            questions -= len(prepared.numbers)
            try:
                answered = answerer.answer(prepared)
            except FgvrError as error:
                failure = failure or error
            else:
                yield answered
    if failure is not None:
        raise failure
    if not stopping():
        yield answerer.finish()
