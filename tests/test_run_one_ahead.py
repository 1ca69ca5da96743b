"""A GPU is given its next batch while the last one's answers are stored; nothing is lost or mixed up by it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy import COLOURS, Picture, Registration, Script, ToyModel, ToyPlugin

from fgvr_bench.core import workforce
from fgvr_bench.core.answering import Answerer
from fgvr_bench.core.free_words import FreeQuestion, book_of
from fgvr_bench.core.loading import prepare
from fgvr_bench.core.one_ahead import answers_one_ahead
from fgvr_bench.errors import FgvrError, OutOfMemory


class Slow:
    """Stands for an `Answerer`: notes which batch it began, in which thread."""

    def __init__(self, fails_at: int | None = None, callers: int = 1) -> None:
        self.callers = callers
        self.began: list[int] = []
        self.second = threading.Event()
        self.threads: set[str] = set()
        self.fails_at = fails_at

    @property
    def model(self) -> Slow:
        return self

    def ask(self, batch: int) -> list[Any]:
        self.threads.add(threading.current_thread().name)
        self.began.append(batch)
        if batch == 1:
            self.second.set()
        if batch == self.fails_at:
            raise FgvrError(f"batch {batch} broke")
        return [batch]

    def release(self, asked: list[Any]) -> list[Any]:
        return asked

    def finish(self) -> list[Any]:
        return ["end"]


def test_the_next_batch_begins_before_the_last_one_is_stored() -> None:
    model = Slow()
    answers = answers_one_ahead(model, iter(range(4)), lambda: False)  # type: ignore[arg-type]
    assert next(answers) == [0]
    assert model.second.wait(60)  # while we still hold the first answer
    assert list(answers) == [[1], [2], [3], ["end"]]
    assert len(model.threads) == 1


def test_a_model_that_takes_two_callers_has_two_batches_at_a_time_and_answers_in_order() -> None:
    both = threading.Barrier(2, timeout=60)

    class Two(Slow):
        def ask(self, batch: int) -> list[Any]:
            both.wait()  # neither goes on without the other
            return super().ask(batch)

    answers = answers_one_ahead(Two(callers=2), iter(range(6)), lambda: False)  # type: ignore[arg-type]
    assert list(answers) == [*([number] for number in range(6)), ["end"]]


def test_what_was_begun_is_kept_when_the_run_is_to_stop() -> None:
    model, stop = Slow(), threading.Event()
    answers = answers_one_ahead(model, iter(range(10)), stop.is_set)  # type: ignore[arg-type]
    kept = [next(answers)]
    stop.set()
    kept += list(answers)
    assert kept == [[number] for number in model.began]
    assert len(kept) <= 3


def test_a_failure_comes_after_the_batches_before_it() -> None:
    answers = answers_one_ahead(Slow(fails_at=2), iter(range(5)), lambda: False)  # type: ignore[arg-type]
    assert [next(answers), next(answers)] == [[0], [1]]
    with pytest.raises(FgvrError, match="batch 2 broke"):
        next(answers)


def test_a_batch_too_large_is_asked_in_parts_once_another_thread_has_had_an_answer() -> None:
    class Tight(Script):
        def respond(self, prompts: Any, batch: Any) -> Any:
            if len(prompts) > 3:
                raise OutOfMemory("4 do not fit")
            return super().respond(prompts, batch)

    book = book_of([FreeQuestion(f"a/b/{n}", f"q{n}", Picture(COLOURS["Amber"])) for n in range(7)])
    answerer = Answerer(Tight("always-a"), book, "tight", answered_before=False)
    small, large = (prepare(book, numbers, answerer.model.preparer) for numbers in ([0, 1, 2], [3, 4, 5, 6]))
    with pytest.raises(OutOfMemory):
        answerer.ask(large)  # nothing was answered yet: the batch size is wrong
    first, second = answerer.ask(small), answerer.ask(large)
    answers = [response.completion for asked in (first, second) for _, _, response in answerer.release(asked)]
    assert answers == ["A"] * 7


def test_no_batch_is_asked_for_when_there_is_none() -> None:
    assert list(answers_one_ahead(Slow(), iter(()), lambda: False)) == [["end"]]  # type: ignore[arg-type]


def test_a_run_answered_one_ahead_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fgvr_bench import evaluate
    from fgvr_bench.core.host import Host

    def run(name: str) -> bytes:
        host = Host()
        host.load_entry_points()
        host.add(Registration([ToyModel("oracle", Script())], [ToyPlugin()]), "toy")
        done = evaluate("oracle", "toy", plugins=host, results_dir=tmp_path / name, workers=0)
        return (done.results[0].folder / "responses.jsonl").read_bytes()

    plain = run("plain")

    def ahead(self: Any, batches: Any, stopping: Any, before: bool, threads: Any, claims: Any = None) -> Iterator[Any]:
        answerer = workforce.Answerer(self.model, self._book, self._name, before)
        return answers_one_ahead(answerer, self._prepared(batches, claims), stopping)

    monkeypatch.setattr(workforce.OneProcess, "answers", ahead)
    assert run("ahead") == plain
