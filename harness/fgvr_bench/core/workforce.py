"""Who answers: this process with one model; `fgvr_bench.core.ranked` has several processes that each hold one."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from fgvr_bench.core.ahead import as_claimed, read_ahead
from fgvr_bench.core.answering import UNSURE, Answered, Answerer
from fgvr_bench.core.in_flight import answers_in_flight
from fgvr_bench.core.loading import BatchSource, PreparedBatch, copies_of_a_large_question, default_workers
from fgvr_bench.core.one_ahead import answers_one_ahead
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.core.recording import Elsewhere
from fgvr_bench.core.shelf import Shelf
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import Model, ModelPlugin, ModelSettings
from fgvr_bench.types import Json

if TYPE_CHECKING:
    from fgvr_bench.core.assembly import Assembly
    from fgvr_bench.core.ranks import Claims, Place


class Workforce(Protocol):
    """Loaded and ready to answer."""

    alike: bool
    """Whether batches are made of like questions (`Model.alike`)."""
    facts: Mapping[str, Json]
    threads: int | None
    """Processor threads that the model computes with; None where it does not compute on the processor."""

    @property
    def batch_size(self) -> int:
        """What the model proposes for ``auto``; found out when it is asked for."""
        ...

    def answers(
        self,
        batches: Sequence[list[int]],
        stopping: Callable[[], bool],
        answered_before: bool,
        threads: int | None,
    ) -> Iterator[Answered | Elsewhere]:
        """Yield the answered batches, or how far others have stored theirs, in any order.

        End after the batch at hand once `stopping` says so.

        ``answered_before``: the model has answered questions of this run already.  ``threads``: what the run was
        begun with; another number would add up in another order, and end with other last digits.
        """
        ...

    def again(self) -> Workforce:
        """Return a workforce that can go on after `answers` failed."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


class OneProcess:
    """The model lives in this process; only images are read elsewhere."""

    def __init__(
        self,
        plugin: ModelPlugin,
        settings: ModelSettings,
        book: QuestionBook,
        name: str,
        workers: int | None,
        shelf: Shelf | None = None,
        sharing: int = 1,
    ) -> None:
        """Load the model, or take it from the shelf.

        Args:
            plugin: what loads it.
            settings: with what.
            book: the questions.
            name: what the model is called in messages.
            workers: processes that read images ahead; None decides by the machine.
            shelf: where a loaded model may lie.
            sharing: processes that share the machine's cores.
        """
        self._shelf = shelf
        self.model: Model = plugin.load(settings) if shelf is None else shelf.load(plugin, settings)
        self.alike = self.model.alike
        self.facts: Mapping[str, Json] = dict(self.model.facts())
        self.threads = None if self.model.at_once else threads_of(self.model)
        self._book = book
        self._name = name
        self._workers = workers
        self._sharing = sharing

    @property
    def batch_size(self) -> int:
        return self.model.fitting_batch_size(partial(copies_of_a_large_question, self._book, self.model))

    def answers(
        self,
        batches: Sequence[list[int]],
        stopping: Callable[[], bool],
        answered_before: bool,
        threads: int | None,
        claims: Claims | None = None,
    ) -> Iterator[Answered]:
        """Answer the batches, or with `claims` those that this process gets; see `Workforce`."""
        torch = sys.modules.get("torch")
        if threads is not None and torch is not None:
            torch.set_num_threads(threads)
        answerer = Answerer(self.model, self._book, self._name, answered_before)
        if self.model.at_once:
            yield from answers_in_flight(answerer, self._prepared(batches, claims), self.model.at_once, stopping)
            return
        if _uses_cuda():
            yield from answers_one_ahead(answerer, self._prepared(batches, claims), stopping)
            return
        for prepared in self._prepared(batches, claims):
            yield answerer.answer(prepared)
            if stopping():
                return
        yield answerer.finish()

    def again(self) -> OneProcess:
        return self

    def close(self) -> None:
        if self._shelf is None or sys.exc_info()[0] is not None:
            self.model.close()  # after a failure nobody knows what state it is in
        else:
            self._shelf.put_back(self.model)

    def _prepared(self, batches: Sequence[list[int]], claims: Claims | None) -> Iterator[PreparedBatch]:
        if not self.model.needs_images:
            return (PreparedBatch(numbers, {}, None) for numbers in as_claimed(batches, claims))
        on_cpu = not _uses_cuda()
        workers = default_workers(on_cpu, self._sharing) if self._workers is None else self._workers
        source = BatchSource(self._book, batches, self.model.preparer)
        return read_ahead(source, workers, pin_memory=not on_cpu, claims=claims)


def one_process(assembly: Assembly, shelf: Shelf | None, place: Place | None = None) -> OneProcess:
    """Load the model of a run into this process, on the device of its `place` where it is one of several."""
    settings = assembly.model_settings
    if place is not None:
        settings = replace(settings, device=place.device(settings.device))
    sharing = 1 if place is None else place.sharing
    workers = assembly.settings.workers
    return OneProcess(assembly.plugin, settings, assembly.book, assembly.model_name, workers, shelf, sharing)


def _uses_cuda() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


LOOKED_AT = 20_000
"""Objects that are looked through for tensors; a model that has more counts as one that computes."""


def threads_of(model: Model) -> int | None:
    """Return the processor threads that a model computes with; None where it does not, or on a GPU.

    It computes where it, or the module that it is defined in, holds tensors: that torch is loaded says nothing, for
    what a run records must not hang on who else needed it.
    """
    torch = sys.modules.get("torch")
    if torch is None or _uses_cuda():
        return None
    kinds, skipped = (torch.Tensor, torch.nn.Module), (type, ModuleType, BuiltinFunctionType, str, bytes)
    module = sys.modules.get(type(model).__module__)  # none, where a class was made by hand
    beside = () if module is None else vars(module).values()
    queue: deque[Any] = deque([model, *(thing for thing in beside if issubclass(type(thing), kinds))])
    seen: set[int] = set()
    while queue and len(seen) < LOOKED_AT:
        thing = queue.popleft()
        if issubclass(type(thing), kinds):
            break
        if id(thing) not in seen and not issubclass(type(thing), skipped):
            seen.add(id(thing))
            queue.extend(thing.__closure__ or () if type(thing) is FunctionType else gc.get_referents(thing))
    else:
        if not queue:
            return None
    return int(torch.get_num_threads())


def portable(error: BaseException) -> FgvrError:
    """Return an error as it travels to another process: in words alone."""
    if isinstance(error, FgvrError):
        kind = type(error) if isinstance(error, UNSURE) else FgvrError
        return kind(error.message, hint=error.hint)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return FgvrError(f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno}).")
