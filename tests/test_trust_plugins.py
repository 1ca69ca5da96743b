"""Hostile plugins: whatever they raise, return or do to their process, they are named and the run holds.

What goes wrong at import and registration is told in tests/distribution/test_plugins.py, and what listeners do to
events in test_run_story.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from test_run_story import files_of, lines_of, play
from toy import Script, ToyModel, ToyPlugin

from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import Model, ModelSettings, Preparer
from fgvr_bench.types import Prompt, Response, ScoreKind


class OwnStop(KeyboardInterrupt):
    """A plugin's own exception below KeyboardInterrupt."""


class OwnEnd(BaseException):
    """A plugin's own exception beside Exception."""


RAISED = [RuntimeError("no"), SystemExit(3), OwnStop("enough"), OwnEnd("over"), MemoryError(), AssertionError()]


class Spiteful(Script):
    """Knows every answer, and does something to the third batch."""

    def __init__(self, deed: Callable[[Sequence[Prompt], list[Response]], Any], always: bool = False) -> None:
        super().__init__()
        self.deed, self.always, self.batches = deed, always, 0

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Any:
        self.batches += 1
        right = list(super().respond(prompts, batch))
        return self.deed(prompts, right) if self.always or self.batches == 3 else right


def raises(error: BaseException) -> Callable[..., Any]:
    def deed(prompts: Sequence[Prompt], right: list[Response]) -> Any:
        raise error

    return deed


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_model_that_raises_anything_in_the_middle_is_asked_again_and_the_run_ends_whole(
    error: BaseException, tmp_path: Path
) -> None:
    result = play(tmp_path, ToyModel("oracle", Spiteful(raises(error)))).results[0]
    assert (result.questions, result.failed, result.metrics["accuracy"]) == (40, 0, 1.0)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_model_that_raises_anything_always_is_named_and_nothing_is_kept(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(FgvrError, match=f"model oracle failed on 12 questions in a row.*{type(error).__name__}"):
        play(tmp_path, ToyModel("oracle", Spiteful(raises(error), always=True)))
    assert not list(tmp_path.rglob("responses.jsonl"))


DEEDS: dict[str, Callable[[Sequence[Prompt], list[Response]], Any]] = {
    "too few": lambda prompts, right: right[:-1],
    "too many": lambda prompts, right: [*right, right[0]],
    "another order": lambda prompts, right: right[::-1],
    "one twice": lambda prompts, right: [right[0], right[0], *right[2:]],
    "of other questions": lambda prompts, right: [replace(each, question_id="toy/test/x#y.0") for each in right],
    "nothing": lambda prompts, right: None,
    "a number": lambda prompts, right: 7,
    "text": lambda prompts, right: "AAAA",
    "plain letters": lambda prompts, right: ["A"] * len(right),
    "a generator that breaks": lambda prompts, right: (each for each in [*right[:2], 1 / 0]),
    "an answer that is bytes": lambda prompts, right: [replace(each, completion=b"A") for each in right],
    "too few scores": lambda prompts, right: [
        Response(prompt.question_id, scores=(0.5,), score_kind=ScoreKind.LOGPROB) for prompt in prompts
    ],
    "scores that are text": lambda prompts, right: [
        Response(prompt.question_id, scores=("x",) * 4, score_kind=ScoreKind.LOGPROB) for prompt in prompts
    ],
    "tokens that are no number": lambda prompts, right: [replace(each, tokens="many") for each in right],
}


@pytest.mark.parametrize("what", DEEDS)
def test_answers_that_are_none_are_never_taken_for_answers(what: str, tmp_path: Path) -> None:
    evaluation = play(tmp_path / "once", ToyModel("oracle", Spiteful(DEEDS[what])))
    assert (evaluation.results[0].failed, evaluation.results[0].metrics["accuracy"]) == (0, 1.0)
    assert len({line["question_id"] for line in lines_of(evaluation)}) == 40
    if what in {"another order", "one twice", "too few", "too many"}:
        return  # of a single question there is one order, and the rest is right
    with pytest.raises(FgvrError, match="model oracle failed on 12 questions in a row"):
        play(tmp_path / "always", ToyModel("oracle", Spiteful(DEEDS[what], always=True)))


def test_not_a_number_among_the_scores_is_a_failed_answer_of_its_own(tmp_path: Path) -> None:
    def deed(prompts: Sequence[Prompt], right: list[Response]) -> Any:
        scores = [(float(bad), 0.0, 0.0, 0.0) for bad in ("nan", "inf", "-inf", "0")]
        pairs = zip(prompts, scores, strict=True)
        return [Response(prompt.question_id, scores=each, score_kind=ScoreKind.LOGPROB) for prompt, each in pairs]

    evaluation = play(tmp_path, ToyModel("oracle", Spiteful(deed)))
    assert evaluation.results[0].failed == 3
    assert sum("not finite" in line.get("error", "") for line in lines_of(evaluation)) == 3


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["identify", "load", "preparer", "open", "facts"])
def test_whatever_a_plugin_raises_it_is_named_and_the_process_goes_on(
    where: str, error: BaseException, tmp_path: Path
) -> None:
    class Breaks(ToyModel):
        def identify(self, settings: ModelSettings) -> Any:
            if where == "identify":
                raise error
            return super().identify(settings)

        def load(self, settings: ModelSettings) -> Model:
            if where == "load":
                raise error
            return super().load(settings)

    class BadPreparer(Preparer):
        def item(self, prompt: Prompt, image: Any) -> Any:
            raise error

    class Opens(ToyPlugin):
        def open(self, roots: Any, argument: str | None = None) -> Any:
            if where == "open":
                raise error
            return super().open(roots, argument)

    model = Script()
    if where == "preparer":
        model.preparer = BadPreparer()
    if where == "facts":
        model.facts = raises(error).__get__(model)  # type: ignore[method-assign,attr-defined]
        model.facts = lambda: raises(error)([], [])  # type: ignore[method-assign]
    if where == "preparer" and not isinstance(error, MemoryError):
        result = play(tmp_path, Breaks("oracle", model), Opens()).results[0]
        assert (result.questions, result.failed) == (40, 40)
        return
    with pytest.raises(FgvrError) as caught:
        play(tmp_path, Breaks("oracle", model), Opens())
    text = str(caught.value)
    assert type(error).__name__ in text or where == "preparer"
    assert "oracle" in text or "toy" in text


def test_a_listener_that_ends_the_process_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    from fgvr_bench import hookimpl

    class Listener:
        @hookimpl
        def answer_scored(self, question: Any) -> None:
            sys.exit(4)

    assert play(tmp_path, listener=Listener()).results[0].metrics["accuracy"] == 1.0


# --- plugins that end a process, from outside and installed -----------------------------------------

KILLER = """
    import os
    import time
    from multiprocessing import parent_process
    from fgvr_bench import hookimpl
    from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, Preparer
    from fgvr_bench.types import Response

    DEED = os.environ.get("DEED", "")
    ONCE = os.environ.get("ONCE", "")

    def once():
        if DEED and not os.path.exists(ONCE):
            open(ONCE, "w").close()
            return True
        return False

    class Reads(Preparer):
        def item(self, prompt, image):
            if DEED == "worker" and prompt.question_id.count("3.png") and once():
                os._exit(9)
            return image

    class Says(Model):
        batch_size = 2
        preparer = Reads()
        def respond(self, prompts, batch):
            if DEED in ("exit", "quit") and prompts[0].question_id.count("3.png") and once():
                os._exit(9) if DEED == "exit" else exit(9)
            if DEED == "rank 1" and parent_process() is not None and once():
                os._exit(9)
            while DEED == "rank 1" and parent_process() is None and not os.path.exists(ONCE):
                time.sleep(0.01)
            return [Response(prompt.question_id, "A") for prompt in prompts]

    class Plugin(ModelPlugin):
        card = ModelCard("killer", "Ends its process")
        def identify(self, settings):
            return {}
        def load(self, settings):
            return Says()

    @hookimpl
    def register_models(register):
        register(Plugin())
"""


@pytest.fixture
def killer(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    site = tmp_path / "site"
    info = site / "killer-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: killer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fgvr_bench]\nkiller = killer\n")
    (site / "killer.py").write_text(textwrap.dedent(KILLER))
    for label in ("Knot", "Ruff"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (9, 9), (40 * number, 9, 9)).save(tmp_path / "photos" / label / f"{number}.png")

    def run(results: str, deed: str = "", *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fgvr_bench", "run", "-m", "killer", "-d", f"folder:{tmp_path / 'photos'}"]
        command += ["--options", "random", "--results-dir", str(tmp_path / results), *words]
        environment = {**os.environ, "PYTHONPATH": str(site), "DEED": deed, "ONCE": str(tmp_path / f"once-{results}")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    return run


@pytest.mark.parametrize(
    ("deed", "words", "named"),
    [
        ("rank 1", ("--num-processes", "2", "--workers", "0"), "died (exit status 9)"),
        ("exit", ("--workers", "0"), None),
        ("worker", ("--workers", "1"), "a process that reads images ahead was killed"),
        ("quit", ("--num-processes", "2", "--workers", "0"), ""),
    ],
)
def test_a_plugin_that_ends_its_process_loses_nothing_that_was_saved(
    killer: Any, tmp_path: Path, deed: str, words: tuple[str, ...], named: str | None
) -> None:
    assert killer("whole", "", "--workers", "0").returncode == 0
    hit = killer("hit", deed, *words)
    assert "Traceback" not in hit.stderr
    if named is None:  # it took the whole command along; nobody is left to say so
        assert hit.returncode == 9
    elif named:
        assert hit.returncode == 1
        assert named in hit.stderr
        assert "Type the same command again" in hit.stderr
    else:
        assert hit.returncode == 0, hit.stderr
    again = killer("hit", "", "--workers", "0")
    assert again.returncode == 0, again.stderr
    assert files_of(tmp_path / "hit") == files_of(tmp_path / "whole")
    [run] = (tmp_path / "hit").rglob("run.json")
    assert json.loads(run.read_text())["failed"] == 0
