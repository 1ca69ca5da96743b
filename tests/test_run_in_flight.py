"""Models that are waited for: many questions under way, answers in any order, the same files."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from test_run_story import files_of, lines_of, play
from toy import Script, ToyModel, ToyPlugin

from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import Preparer
from fgvr_bench.types import Prompt, Response


class Sulks(Preparer):
    """Joins no two pictures."""

    def batch(self, items: list[Any]) -> Any:
        if len(items) > 1:
            raise RuntimeError("these do not go together")
        return items


@dataclass
class Waited(Script):
    """Answers elsewhere, later questions sooner."""

    at_once: int = 6
    batch_size: int = 1
    most: int = 0
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    full: threading.Event = field(default_factory=threading.Event)
    """Set once as many are under way as may be."""
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))

    def begin(self, prompts: Sequence[Prompt], batch: Any) -> Future[Any]:
        with self.lock:
            self.under_way += len(prompts)
            self.most = max(self.most, self.under_way)
            if self.under_way >= self.at_once:
                self.full.set()
            delay = max(0.0, 0.05 - 0.002 * len(self.asked))
        return self.pool.submit(self._later, list(prompts), batch, delay)

    def _later(self, prompts: list[Prompt], batch: Any, delay: float) -> Sequence[Response]:
        try:
            self.full.wait(20)
            self.full.set()  # so that a run which never has as many under way is held up once
            time.sleep(delay)
            return Script.respond(self, prompts, batch)
        finally:
            with self.lock:
                self.under_way -= len(prompts)

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        found: Sequence[Response] = batch.result()
        return found


def test_answers_in_any_order_end_in_the_files_of_one_after_the_other(tmp_path: Path) -> None:
    waited = Waited()
    dataset = ToyPlugin(broken=frozenset({"Amber/0003"}))
    play(tmp_path / "waited", ToyModel(model=waited), dataset, batch_size=1)
    play(tmp_path / "here", ToyModel(), ToyPlugin(broken=frozenset({"Amber/0003"})), batch_size=1)
    assert waited.most == 6
    assert len(waited.asked) == 39
    name = "responses.jsonl"
    assert [path.read_bytes() for path in (tmp_path / "waited").rglob(name)] == [
        path.read_bytes() for path in (tmp_path / "here").rglob(name)
    ]


@pytest.mark.parametrize("batch_size", [1, 4, 50])
def test_a_batch_is_under_way_even_where_it_is_larger_than_all_that_may_be(batch_size: int, tmp_path: Path) -> None:
    waited = Waited()
    result = play(tmp_path, ToyModel(model=waited), batch_size=batch_size).results[0]
    assert result.metrics["accuracy"] == 1.0
    assert waited.most <= max(6 + batch_size - 1, batch_size)


def test_a_question_that_fails_is_one_failed_answer_and_is_not_asked_again(tmp_path: Path) -> None:
    bad = "toy/test/Amber/0003#multiple-choice.0"
    waited = Waited(fail_on=frozenset({bad}))
    evaluation = play(tmp_path, ToyModel(model=waited), batch_size=1)
    (failed,) = [line for line in lines_of(evaluation) if line.get("error")]
    assert failed["error"] == "model: RuntimeError: the toy broke"
    assert waited.asked.count(bad) == 1


def test_a_model_that_fails_on_everything_stops_the_run_and_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(FgvrError, match="failed on 3 questions in a row"):
        play(tmp_path, ToyModel(model=Waited("broken")))
    assert not [path for path in files_of(tmp_path) if b'{"q":' in (tmp_path / path).read_bytes()]


def test_pictures_that_cannot_be_joined_are_sent_one_by_one(tmp_path: Path) -> None:
    waited = Waited()
    waited.preparer = Sulks()
    waited.full.set()  # one by one there is never more than one
    result = play(tmp_path, ToyModel(model=waited), batch_size=3).results[0]
    assert (result.failed, result.metrics["accuracy"]) == (0, 1.0)
