"""From a model's answers to the disk, and only then to whoever is told of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.answering import Answered
from fgvr_bench.core.host import Host
from fgvr_bench.core.interrupts import is_request
from fgvr_bench.core.parts import PartWriter, StoredAnswers
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.core.records import from_line, to_line
from fgvr_bench.core.watching import Watcher
from fgvr_bench.types import Answer, Question, Response


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Answers that another process has stored itself."""

    path: Path
    """Its part."""
    upto: int
    """How many bytes of it are on disk."""


class Recorder:
    """Appends answers to a part and announces each once, after it is on disk."""

    def __init__(
        self, host: Host, book: QuestionBook, answers: StoredAnswers, writer: PartWriter, watcher: Watcher
    ) -> None:
        self.recorded = 0
        """Answers of this execution."""
        self._host, self._book, self._answers = host, book, answers
        self._writer, self._watcher = writer, watcher
        self._before = int(answers.done.sum())
        self._part = answers.add_part(writer.path)
        self._listened_to = bool(host.manager.hook.answer_scored.get_hookimpls())
        self._pending: deque[tuple[Question, Response, Answer]] = deque()
        self._correct: deque[bool] = deque()
        self._announced = 0
        self._announced_correct = 0
        self._elsewhere = self._elsewhere_correct = 0

    def record(self, answered: Answered | Elsewhere) -> None:
        """Store answers that are not stored yet, and announce what has reached the disk meanwhile."""
        if isinstance(answered, Elsewhere):
            self._take_in(answered)
            return
        done, labels = self._answers.done, self._book.context.labels
        new = [entry for entry in answered if not done[entry[0]]]
        if new:
            lines = [to_line(question, response, labels) for _, question, response in new]
            answers = [self._book.task.judge(question, response) for _, question, response in new]
            offset, lengths = self._writer.append([number for number, _, _ in new], lines)
            self._answers.add(self._part, [number for number, _, _ in new], offset, lengths)
            for (_, question, response), answer in zip(new, answers, strict=True):
                self._correct.append(answer.correct)
                if self._listened_to:
                    self._pending.append((question, response, answer))
            self.recorded += len(new)
        self._announce()

    def close(self) -> None:
        """Bring everything to the disk and announce the rest."""
        try:
            self._writer.close()
        finally:
            self._announce()

    def emit(self, hook: str, **arguments: Any) -> None:
        """Tell plugins of an event; one that fails is named and the run goes on."""
        self.emit_to(self._host, self._watcher, hook, **arguments)

    @staticmethod
    def emit_to(host: Host, watcher: Watcher, hook: str, **arguments: Any) -> None:
        """Tell all plugins of an event."""
        for implementation in getattr(host.manager.hook, hook).get_hookimpls():
            try:
                implementation.function(*[arguments[name] for name in implementation.argnames])
            except BaseException as error:
                if is_request(error):
                    raise
                watcher.note(f"plugin {implementation.plugin_name} failed in {hook}: {type(error).__name__}: {error}")

    def _take_in(self, stored: Elsewhere) -> None:
        """Announce what another process has brought to the disk."""
        new = self._answers.take_in(stored.path, stored.upto)
        for number, line in new:
            question, response = self._book.question(number), from_line(line, self._book.context.labels)[1]
            answer = self._book.task.judge(question, response)
            self._elsewhere += 1
            self._elsewhere_correct += answer.correct
            if self._listened_to:
                self.emit("answer_scored", question=question, response=response, answer=answer)
        if new:
            self.recorded += len(new)
            self._show()

    def _announce(self) -> None:
        synced = self._writer.synced
        if synced == self._announced:
            return
        while self._announced < synced:
            self._announced_correct += self._correct.popleft()
            self._announced += 1
            if self._listened_to:
                question, response, answer = self._pending.popleft()
                self.emit("answer_scored", question=question, response=response, answer=answer)
        self._show()

    def _show(self) -> None:
        judged = self._announced + self._elsewhere
        self._watcher.advanced(self._before + judged, judged, self._announced_correct + self._elsewhere_correct)
