"""Free questions to a model: batches, what is on disk, killed and resumed, failures asked again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from toy import COLOURS, Picture, ToyModel, toy_host

from fgvr_bench.core.free_words import FreeQuestion, ready_writer
from fgvr_bench.core.inquiry import Inquiry
from fgvr_bench.core.watching import Watcher
from fgvr_bench.errors import FgvrError, OutOfMemory, UsageError
from fgvr_bench.interfaces import Decoding, Model, ModelSettings
from fgvr_bench.types import NoImage, Prompt, Response, Stop

SETTINGS = ModelSettings(device="cpu", decoding=Decoding("generate", 16))
RED = COLOURS["Brick_red"]


@dataclass
class Echo(Model):
    """Says back what it is asked, and what colour it sees."""

    batch_size: int = 4
    most: int = 100
    batches: list[int] = field(default_factory=list)
    fail_on: set[str] = field(default_factory=set)

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        if len(prompts) > self.most:
            raise OutOfMemory("the echo is full")
        self.batches.append(len(prompts))
        if any(prompt.text in self.fail_on for prompt in prompts):
            raise RuntimeError("a lump in the throat")
        return [
            Response(prompt.question_id, f"{prompt.text} {image.getpixel((0, 0))}", stop=Stop.EOS, tokens=3)
            for prompt, image in zip(prompts, batch, strict=True)
        ]


def questions(count: int) -> list[FreeQuestion]:
    pictures = [NoImage(), Picture(RED)]
    return [FreeQuestion(f"a/b/{place}", f"q{place}", pictures[place % 2]) for place in range(count)]


def inquiry(model: Model, count: int = 10, **settings: Any) -> Inquiry:
    host = toy_host([ToyModel("echo", model)])  # type: ignore[arg-type]
    ready = ready_writer(host, "echo", SETTINGS)
    return Inquiry(ready, questions(count), {"dataset": "d"}, workers=0, **settings)


def model_of(echo: Echo) -> Echo:
    echo.mode = "echo"  # type: ignore[attr-defined]  # what ToyModel identifies by
    return echo


def test_every_question_has_its_answer_in_order_and_no_picture_is_a_grey_one() -> None:
    echo = model_of(Echo())
    asked = inquiry(echo)
    pace = asked.ask("asking", Watcher())
    assert echo.batches == [4, 4, 2]
    assert (pace.answered, pace.tokens) == (10, 30)
    assert [each.completion for each in asked.answers()] == [
        f"q{place} {RED if place % 2 else (128, 128, 128)}" for place in range(10)
    ]
    assert asked.answers()[-1].question_id == "a/b/9"
    assert [each.question_id for each in asked.answers()[2:4]] == ["a/b/2", "a/b/3"]


def test_what_was_answered_is_not_asked_again() -> None:
    inquiry(model_of(Echo())).ask("asking", Watcher())
    echo = model_of(Echo())
    again = inquiry(echo)
    assert again.complete
    assert again.ask("asking", Watcher()).answered == 0
    assert echo.batches == []


def test_other_words_or_inputs_are_another_inquiry() -> None:
    folders = {inquiry(model_of(Echo()), count).folder for count in (9, 10)}
    folders.add(inquiry(model_of(Echo()), batch_size=3).folder)
    assert len(folders) == 3


def test_a_sample_is_the_beginning_of_the_whole() -> None:
    echo = model_of(Echo())
    asked = inquiry(echo)
    assert asked.ask("sample", Watcher(), batches=2).settled_rate is not None
    assert (asked.answered, asked.complete) == (8, False)
    with pytest.raises(FgvrError, match="2 of 10 questions are not answered"):
        asked.answers()
    asked.ask("rest", Watcher())
    assert echo.batches == [4, 4, 2]


def test_a_batch_that_does_not_fit_is_halved() -> None:
    echo = model_of(Echo(batch_size=8, most=2))
    asked = inquiry(echo)
    asked.ask("asking", Watcher())
    assert echo.batches == [2] * 5
    assert len(asked.answers()) == 10
    with pytest.raises(FgvrError, match="--batch-size 4"):
        inquiry(model_of(Echo(most=2)), batch_size=8).ask("asking", Watcher())


@pytest.mark.parametrize("finished", [True, False])
def test_failures_stay_as_they_are_until_they_are_to_be_asked_again(finished: bool) -> None:
    broken = inquiry(model_of(Echo(fail_on={"q5"})))
    broken.ask("asking", Watcher(), batches=None if finished else 2)
    assert broken.complete is finished
    if finished:
        assert broken.answers()[5].error == "model: RuntimeError: a lump in the throat"
    assert broken.forget_failures() == 1
    echo = model_of(Echo())
    mended = inquiry(echo)
    mended.ask("asking", Watcher())
    assert echo.batches == ([4] if finished else [4, 2])
    assert mended.answers()[5].completion == f"q5 {RED}"
    assert mended.forget_failures() == 0


def test_a_model_that_fails_on_everything_ends_it_with_nothing_kept() -> None:
    asked = inquiry(model_of(Echo(fail_on={f"q{place}" for place in range(10)})))
    with pytest.raises(FgvrError, match="failed on 10 questions in a row"):
        asked.ask("asking", Watcher())
    assert inquiry(model_of(Echo())).answered == 0


def test_answers_of_other_library_versions_are_not_mixed_in_unasked() -> None:
    asked = inquiry(model_of(Echo()))
    asked.ask("sample", Watcher(), batches=1)
    part = asked.folder / "parts" / "0.jsonl"
    first, *rest = part.read_text().splitlines(keepends=True)
    header = json.loads(first)
    header["versions"]["torch"] = "1.0"
    part.write_text(json.dumps(header) + "\n" + "".join(rest))
    with pytest.raises(FgvrError, match=r"torch 1\.0 →"):
        inquiry(model_of(Echo())).ask("rest", Watcher())
    inquiry(model_of(Echo()), resume_across=True).ask("rest", Watcher())


def test_a_model_that_writes_no_words_is_refused() -> None:
    toy = ToyModel("clip")
    object.__setattr__(toy.card, "decodings", ("similarity",))
    with pytest.raises(UsageError, match="wants words"):
        ready_writer(toy_host([toy]), "clip", SETTINGS)


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import test_inquiry
class Slow(test_inquiry.Echo):
    def respond(self, prompts, batch):
        time.sleep(0.05)
        return super().respond(prompts, batch)
asked = test_inquiry.inquiry(test_inquiry.model_of(Slow()), 200)
asked.ask("asking", test_inquiry.Watcher())
"""


def test_killed_and_resumed_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    code = SLOW.format(tests=str(Path(__file__).parent))

    def run(cache: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "FGVR_CACHE": str(cache)})

    assert run(tmp_path / "calm").wait() == 0
    for number in range(3):
        killed = run(tmp_path / "killed")
        parts = tmp_path / "killed"
        deadline = time.monotonic() + 120
        while not any(path.stat().st_size > 600 * number for path in parts.rglob(f"parts/{number}.jsonl")):
            assert time.monotonic() < deadline
            assert killed.poll() is None
            time.sleep(0.01)
        time.sleep(0.1 * number)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert run(tmp_path / "killed").wait() == 0
    calm, other = (next((tmp_path / name).rglob("answers.jsonl")) for name in ("calm", "killed"))
    assert other.read_bytes() == calm.read_bytes()
    assert not list((tmp_path / "killed").rglob("parts"))
