"""Asking a model many questions in free words: in batches, with every answer on disk before it counts.

::

    FGVR_CACHE/inquiries/<model>/<digest>/
        inquiry.json      what was asked, of whom; batch size and plan
        parts/<n>.jsonl   while it goes on: a header with the library versions, then a line an answer
        answers.jsonl     when all is answered: a line a question, in order

The folder is named after all that the answers depend on.  Batches are slices of the questions in their order; a
resumed inquiry follows the same slices, so one that was killed ends with the bytes of one that was not.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.answering import Answered
from fgvr_bench.core.assembly import ReadyModel
from fgvr_bench.core.files import canonical_json, digest, read_json, write_json
from fgvr_bench.core.free_words import FreeQuestion, book_of, words_digest
from fgvr_bench.core.inquiry_files import Answers, without_failures
from fgvr_bench.core.interrupts import first_interrupt
from fgvr_bench.core.locks import lock
from fgvr_bench.core.names import slug
from fgvr_bench.core.order import BatchPlan
from fgvr_bench.core.parts import FORMAT as PART
from fgvr_bench.core.parts import VERSION as PART_VERSION
from fgvr_bench.core.parts import PartWriter, StoredAnswers, remove_leftovers, write_canonical
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.records import to_line
from fgvr_bench.core.versions import changes, library_versions
from fgvr_bench.core.watching import Watcher
from fgvr_bench.core.workforce import OneProcess
from fgvr_bench.errors import FgvrError, OutOfMemory, Stopped

FORMAT = "fgvr-bench/inquiry"
VERSION = 1


@dataclass(slots=True)
class Pace:
    """How one execution went."""

    answered: int = 0
    """Answers that it brought to the disk."""
    seconds: float = 0.0
    """From the first question to the last answer; loading is not counted."""
    settled_rate: float | None = None
    """Answers a second without the first batch, which warms up; None where there was no second one.  A model that is
    waited for has nothing to warm up: there all answers count."""
    tokens: int = 0
    """Tokens that were generated, as far as the model counts them."""


class Inquiry:
    """Questions to one model, and what is on disk of its answers."""

    def __init__(
        self,
        model: ReadyModel,
        questions: Sequence[FreeQuestion],
        inputs: Mapping[str, Any],
        *,
        batch_size: int | None = None,
        workers: int | None = None,
        resume_across: bool = False,
    ) -> None:
        """Find what is there; nothing is asked yet.

        Args:
            model: who is asked.
            questions: what; picklable, and may be lazy.
            inputs: what the answers depend on beside model and words, such as the dataset's digest.
            batch_size: questions in a batch; None finds one that fits, from the model's own proposal downwards.
            workers: processes that read images ahead; None decides by the machine.
            resume_across: go on with what other library versions began.
        """
        self.model = model
        self.inputs: dict[str, Any] = {
            "model": {**model.identity, "name": model.name},
            "max_new_tokens": model.settings.decoding.max_new_tokens,
            "batch_size": batch_size or "auto",
            "questions": words_digest(questions),
            **inputs,
        }
        self.folder = cache_folder() / "inquiries" / slug(model.name) / digest(self.inputs)[:12]
        self._book = book_of(questions)
        self._batch_size, self._workers, self._resume_across = batch_size, workers, resume_across
        self._versions = library_versions()
        self.complete = False
        """Whether every question is answered, and `answers` can be read."""
        self._look()

    def __len__(self) -> int:
        return len(self._book)

    @property
    def answered(self) -> int:
        """How many questions have their answer on disk."""
        return len(self) if self.complete else int(self._stored.done.sum())

    def ask(self, what: str, watcher: Watcher, batches: int | None = None) -> Pace:
        """Ask what is open; the model is loaded only if anything is.

        Args:
            what: what is going on, for the bar.
            watcher: told how it goes.
            batches: ask so many of the batches that are open, and no more; a model that is waited for is asked so many
                times what may be under way at once, for only then does its time tell that of many.

        Raises:
            Stopped: at the user's request; everything answered is on disk.
            FgvrError: whatever keeps it from going on; what is on disk stays.
        """
        with lock(self.folder.parent / f".{self.folder.name}.lock", what, waiting=watcher.note):
            self._look()
            pace = Pace()
            if not self.complete and (self._plan is None or self._open(self._plan, batches)):
                self._check_versions()
                pace = self._ask(what, watcher, batches)
            if not self.complete and self._stored.done.all():
                for _ in write_canonical(self._stored, self._answers_file):
                    pass
                remove_leftovers(self.folder, self.folder / "parts")
                self._look()
            return pace

    def answers(self) -> Answers:
        """Return all answers, in the order of the questions.

        Raises:
            FgvrError: some are open yet.
        """
        if not self.complete:
            raise FgvrError(f"{len(self) - self.answered:,} of {len(self):,} questions are not answered yet.")
        return Answers(self._answers_file)

    def forget_failures(self) -> int:
        """Drop answers that are errors, so that `ask` asks them again; return how many there were."""
        with lock(self.folder.parent / f".{self.folder.name}.lock", "dropping failed answers"):
            self._look()
            dropped = 0
            parts = self.folder / "parts"
            if self.complete:
                header = {"format": PART, "version": PART_VERSION, "plan": self._state["plan"]}
                lines = [canonical_json({**header, "versions": self._versions}).encode() + b"\n"]
                with open(self._answers_file, "rb") as file:
                    lines += [b'{"q":%d,%s' % (number, line[1:]) for number, line in enumerate(file)]
                if dropped := without_failures(lines, parts / "0.jsonl"):
                    self._answers_file.unlink()
            else:
                for path in sorted(parts.glob("*.jsonl")):
                    with open(path, "rb") as file:
                        dropped += without_failures(file.readlines(), path)
            self._look()
            return dropped

    @property
    def _answers_file(self) -> Path:
        return self.folder / "answers.jsonl"

    def _look(self) -> None:
        """See what is on disk."""
        path = self.folder / "inquiry.json"
        self._state: dict[str, Any] = read_json(path, FORMAT, (VERSION,)) if path.exists() else {}
        self.complete = bool(self._state) and self._answers_file.exists()
        self._plan = None if not self._state else self._planned(int(self._state["batch_size"]))
        plan = None if self._plan is None or self.complete else self._plan.digest()
        self._stored = StoredAnswers(self.folder / "parts", len(self._book), plan)

    def _planned(self, batch_size: int) -> BatchPlan:
        import numpy as np

        return BatchPlan(np.arange(len(self._book), dtype=np.int32), batch_size)

    def _open(self, plan: BatchPlan, batches: int | None) -> Sequence[list[int]]:
        return plan.open_batches(self._stored.done, len(self))[:batches]

    def _check_versions(self) -> None:
        if self._resume_across:
            return
        for header in self._stored.headers:
            if differences := changes(header.get("versions", {}), self._versions):
                raise FgvrError(
                    f"{self.answered:,} answers of {self.model.name} were given under other versions: "
                    f"{', '.join(differences)}.",
                    hint=f"Go on with --resume-across, or delete {self.folder} to ask again.",
                )

    def _ask(self, what: str, watcher: Watcher, batches: int | None) -> Pace:
        with watcher.progress(f"loading {self.model.name}", None):
            work = OneProcess(self.model.plugin, self.model.settings, self._book, self.model.name, self._workers)
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: work.close())
            told = "stopping after the batch at hand; Ctrl-C again ends at once"
            stopping = stack.enter_context(first_interrupt(lambda: watcher.note(told)))
            batch_size = self._batch_size or work.batch_size
            while True:
                if self._plan is None:
                    self._start(batch_size, work)
                try:
                    pace = self._ask_open(what, watcher, work, stopping, batches)
                except OutOfMemory as error:
                    batch_size = self._smaller(batch_size, error, watcher)
                    work = work.again()
                    continue
                break
        if stopping():
            raise Stopped(
                f"stopped as asked: {self.answered:,} of {len(self):,} answers are saved.",
                hint="Type the same command again to go on.",
            )
        return pace

    def _start(self, batch_size: int, work: OneProcess) -> None:
        self._plan = self._planned(batch_size)
        self._state = {
            "format": FORMAT,
            "version": VERSION,
            "inputs": self.inputs,
            "questions": len(self),
            "batch_size": batch_size,
            "threads": work.threads,
            "plan": self._plan.digest(),
        }
        remove_leftovers(self.folder, self.folder / "parts")
        write_json(self.folder / "inquiry.json", self._state)
        self._stored = StoredAnswers(self.folder / "parts", len(self), self._plan.digest())

    def _smaller(self, batch_size: int, error: OutOfMemory, watcher: Watcher) -> int:
        if self._batch_size is None and batch_size > 1 and not self._stored.done.any():
            watcher.note(f"a batch of {batch_size} does not fit the memory; trying {batch_size // 2}")
            self._plan = None
            return batch_size // 2
        raise FgvrError(
            f"a batch of {batch_size} does not fit the memory: {error.message}",
            hint=f"Type the command again with --batch-size {max(1, batch_size // 2)}.",
        ) from error

    def _ask_open(
        self, what: str, watcher: Watcher, work: OneProcess, stopping: Callable[[], bool], batches: int | None
    ) -> Pace:
        assert self._plan is not None  # noqa: S101 - made by `_start`
        at_once = work.model.at_once
        if batches is not None:
            batches *= max(1, at_once // self._plan.batch_size)
        open_batches = self._open(self._plan, batches)
        before = bool(self._stored.done.any())
        writer = PartWriter(self.folder / "parts", {"plan": self._plan.digest(), "versions": self._versions})
        part = self._stored.add_part(writer.path)
        pace, started, warm = Pace(), time.monotonic(), 0
        warmed = started
        to_ask = sum(map(len, open_batches)) if batches is not None else len(self) - self.answered
        try:
            with watcher.progress(what, to_ask) as advance:
                shown = 0
                for answered in work.answers(open_batches, stopping, before, self._state["threads"]):
                    self._store(answered, writer, part, pace)
                    if not warm and not at_once:
                        warm, warmed = pace.answered, time.monotonic()
                    advance(writer.synced - shown)
                    shown = writer.synced
        finally:
            writer.close()
        pace.seconds = time.monotonic() - started
        if pace.answered > warm:
            pace.settled_rate = (pace.answered - warm) / max(time.monotonic() - warmed, 1e-9)
        return pace

    def _store(self, answered: Answered, writer: PartWriter, part: int, pace: Pace) -> None:
        new = [entry for entry in answered if not self._stored.done[entry[0]]]
        if new:
            numbers = [number for number, _, _ in new]
            offset, lengths = writer.append(numbers, [to_line(question, response, ()) for _, question, response in new])
            self._stored.add(part, numbers, offset, lengths)
            pace.answered += len(new)
            pace.tokens += sum(response.tokens or 0 for _, _, response in new)
