"""Who answers: this process with one model, or several that each hold one and share the batches."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from fgvr_bench.core.ahead import read_ahead
from fgvr_bench.core.answering import Answered, Answerer
from fgvr_bench.core.checkup_torch import has_gpu_driver
from fgvr_bench.core.in_flight import answers_in_flight
from fgvr_bench.core.interrupts import held_interrupts
from fgvr_bench.core.loading import BatchSource, PreparedBatch, copies_of_a_large_question, default_workers
from fgvr_bench.core.one_ahead import answers_one_ahead
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.shelf import Shelf
from fgvr_bench.errors import FgvrError, OutOfMemory
from fgvr_bench.interfaces import Model, ModelPlugin, ModelSettings
from fgvr_bench.types import Json, Response

if TYPE_CHECKING:
    from fgvr_bench.core.assembly import Assembly

Numbered = list[tuple[int, Response]]


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
    ) -> Iterator[Answered]:
        """Yield the answered batches, in any order; end after the batch at hand once `stopping` says so.

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
    ) -> None:
        self._shelf = shelf
        self.model: Model = plugin.load(settings) if shelf is None else shelf.load(plugin, settings)
        self.alike = self.model.alike
        self.facts: Mapping[str, Json] = dict(self.model.facts())
        self.threads = None if self.model.at_once else _threads()
        self._book = book
        self._name = name
        self._workers = workers

    @property
    def batch_size(self) -> int:
        return self.model.fitting_batch_size(partial(copies_of_a_large_question, self._book, self.model))

    def answers(
        self,
        batches: Sequence[list[int]],
        stopping: Callable[[], bool],
        answered_before: bool,
        threads: int | None,
    ) -> Iterator[Answered]:
        torch = sys.modules.get("torch")
        if threads is not None and torch is not None:
            torch.set_num_threads(threads)
        answerer = Answerer(self.model, self._book, self._name, answered_before)
        if self.model.at_once:
            yield from answers_in_flight(answerer, self._prepared(batches), self.model.at_once, stopping)
            return
        if _uses_cuda():
            yield from answers_one_ahead(answerer, self._prepared(batches), stopping)
            return
        for prepared in self._prepared(batches):
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

    def _prepared(self, batches: Sequence[list[int]]) -> Iterator[PreparedBatch]:
        if not self.model.needs_images:
            return (PreparedBatch(numbers, {}, None) for numbers in batches)
        on_cpu = not _uses_cuda()
        workers = default_workers(on_cpu) if self._workers is None else self._workers
        source = BatchSource(self._book, batches, self.model.preparer)
        return read_ahead(source, workers, pin_memory=not on_cpu)


def _uses_cuda() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def _threads() -> int | None:
    torch = sys.modules.get("torch")
    return None if torch is None or _uses_cuda() else int(torch.get_num_threads())


@dataclass(frozen=True, slots=True)
class _Order:
    """What a child is told: which run, and which of the GPUs."""

    model: str
    dataset: str
    settings: RunSettings
    run_id: str
    rank: int
    processes: int


class SeveralProcesses:
    """Children that each load the model; batch ``i`` of the open ones goes to child ``i % n``."""

    def __init__(self, assembly: Assembly, processes: int, book: QuestionBook) -> None:
        self._assembly, self._processes = assembly, processes
        self._book = book
        self._name = assembly.model_name
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._children: list[tuple[Any, Connection]] = []
        settings = replace(assembly.settings, fresh=False, processes=1)
        try:
            for rank in range(processes):
                ours, theirs = context.Pipe()
                order = _Order(*assembly.requested, settings, assembly.run_id, rank, processes)
                child = context.Process(target=_child, args=(theirs, self._stop, order), name=f"model-{rank}")
                with held_interrupts():
                    child.start()
                theirs.close()
                self._children.append((child, ours))
            hellos = [self._receive(child, connection) for child, connection in self._children]
        except BaseException:
            self._end(seconds=0)
            raise
        self.batch_size: int = hellos[0][0]
        self.alike = bool(hellos[0][1])
        self.facts: Mapping[str, Json] = hellos[0][2]
        self.threads: int | None = hellos[0][3]

    def answers(
        self,
        batches: Sequence[list[int]],
        stopping: Callable[[], bool],
        answered_before: bool,
        threads: int | None,
    ) -> Iterator[Answered]:
        for rank, (_, connection) in enumerate(self._children):
            with contextlib.suppress(ConnectionError):  # one that died is named when it is listened to
                connection.send((batches[rank :: len(self._children)], answered_before, threads))
        at_work = {connection: child for child, connection in self._children}
        while at_work:
            if stopping():
                self._stop.set()
            for ready in wait(list(at_work), timeout=0.5):
                assert isinstance(ready, Connection)  # noqa: S101 - nothing else is waited for
                message = self._receive(at_work[ready], ready)
                if message is None:
                    del at_work[ready]
                    continue
                yield [(number, self._book.question(number), response) for number, response in message]

    def again(self) -> Workforce:
        return SeveralProcesses(self._assembly, self._processes, self._book)

    def close(self) -> None:
        self._end(seconds=0 if sys.exc_info()[0] is KeyboardInterrupt else 30)

    def _end(self, seconds: float) -> None:
        """Let the children finish what they are at for some seconds, all together, then end them."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        for _, connection in self._children:
            connection.close()
        for child, _ in self._children:
            child.join(timeout=max(0.0, deadline - time.monotonic()))
            if child.is_alive():
                child.kill()
                child.join()

    def _receive(self, child: Any, connection: Connection) -> Any:
        try:
            kind, content = connection.recv()
        except (EOFError, OSError) as error:
            child.join(timeout=5)
            self.close()
            raise FgvrError(
                f"process {child.name} of {self._name} died (exit status {child.exitcode}).",
                hint="Type the same command again: it goes on with what is on disk.",
            ) from error
        if kind == "error":
            self.close()
            raise content
        return content


def _child(connection: Connection, stop: Any, order: _Order) -> None:
    """Answer batches in a process of its own; messages are (kind, content) with kind ok or error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work = _take_up(order)
        proposed = order.settings.batch_size or work.batch_size
        connection.send(("ok", (proposed, work.alike, dict(work.facts), work.threads)))
        batches, answered_before, threads = connection.recv()
        for answered in work.answers(batches, stop.is_set, answered_before, threads):
            numbered: Numbered = [(number, response) for number, _, response in answered]
            connection.send(("ok", numbered))
        connection.send(("ok", None))
        work.close()
    except (EOFError, ConnectionError):
        return  # the parent is gone, and with it whoever wanted the answers
    except BaseException as error:
        with contextlib.suppress(OSError):
            connection.send(("error", _portable(error)))


def _take_up(order: _Order) -> OneProcess:
    from fgvr_bench.core.assembly import assemble, ready_dataset, ready_model
    from fgvr_bench.core.host import host

    model = ready_model(host(), order.model, order.settings)
    assembly = assemble(host(), model, ready_dataset(host(), order.dataset, order.settings), order.settings)
    if assembly.run_id != order.run_id:
        raise FgvrError(
            f"process {order.rank} sees another run ({assembly.run_id}) than its parent ({order.run_id}).",
            hint="The dataset or the checkpoint changed while the run started; type the command again.",
        )
    settings = replace(assembly.model_settings, device=_device_of(order))
    return OneProcess(assembly.plugin, settings, assembly.book, assembly.model_name, assembly.settings.workers)


def _device_of(order: _Order) -> str:
    wanted = order.settings.device
    if wanted not in {"auto", "cuda"} or not has_gpu_driver():
        return wanted  # without torch: what a run records must not hang on who imported it first
    import torch

    return f"cuda:{order.rank % torch.cuda.device_count()}" if torch.cuda.is_available() else wanted


def _portable(error: BaseException) -> Exception:
    if isinstance(error, OutOfMemory):
        return OutOfMemory(error.message, hint=error.hint)
    if isinstance(error, FgvrError):
        return FgvrError(error.message, hint=error.hint)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return FgvrError(f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno}).")
