"""Asking a model, and containing what may go wrong with it.

An image that cannot be prepared is one failed answer.  A batch that the model fails on is asked again question
by question, so that one bad question costs itself alone.  A model that fails on everything stops the run, and
nothing of that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from fgvr_bench.core.interrupts import is_request
from fgvr_bench.core.loading import PreparedBatch, prepare
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.core.records import rounded
from fgvr_bench.errors import FgvrError, OutOfMemory
from fgvr_bench.interfaces import Model
from fgvr_bench.types import Prompt, Question, Response

MOST_FAILED_BATCHES = 3
"""So many batches in a row in which the model answers nothing at all end the run."""

Answered = list[tuple[int, Question, Response]]
"""Question numbers, questions and responses of one batch."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a batch."""

    batch: Answered
    answered_any: bool | None
    """Whether the model answered any of it; None where there was nothing to ask it."""


class NothingAnswered(FgvrError):
    """The model failed on all that this process asked it, which was little: another may have had answers of it."""


UNSURE = (OutOfMemory, NothingAnswered)
"""Failures of a model that had not answered yet; another thread or process may have had answers of it meanwhile."""


class Misbehaved(Exception):
    """The plugin returned something that is not an answer to what it was asked."""


class Answerer:
    """One loaded model at work."""

    def __init__(self, model: Model, book: QuestionBook, name: str, answered_before: bool) -> None:
        self.model = model
        self.book = book
        self.name = name
        self._ever_answered = answered_before
        self._held: list[Answered] = []
        self._last_problem = ""

    def begin(self, prepared: PreparedBatch) -> Future[Any]:
        """Let a model that is waited for start on a batch; once the future is done, `answer` does not wait."""
        if prepared.stop is None and prepared.unjoined is None:
            asked = [number for number in prepared.numbers if number not in prepared.failures]
            if asked:
                prompts = [self.book.prompt(self.book.question(number)) for number in asked]
                prepared.payload = begun = self.model.begin(prompts, prepared.payload)
                return begun
        nothing: Future[Any] = Future()
        nothing.set_result(None)
        return nothing

    def answer(self, prepared: PreparedBatch) -> Answered:
        """Answer one prepared batch.

        Returns:
            A response for each of its questions; nothing while it is open whether the model answers at all,
            and what was held back once it does.

        Raises:
            FgvrError: the model fails on everything, or says itself that it cannot go on.
        """
        return self.release(self.ask(prepared))

    def ask(self, prepared: PreparedBatch) -> Asked:
        """Ask the model; several threads may, for different batches.

        Raises:
            FgvrError: the model says itself that it cannot go on.
        """
        if prepared.stop is not None:
            raise prepared.stop
        questions = {number: self.book.question(number) for number in prepared.numbers}
        asked = [number for number in prepared.numbers if number not in prepared.failures]
        prompts = [self.book.prompt(questions[number]) for number in asked]
        responses, answered_any = self._ask(asked, prompts, prepared)
        if asked and answered_any:
            self._ever_answered = True  # here, not where it is released: a batch of other threads may ask for parts now
        for number, why in prepared.failures.items():
            responses[number] = Response(questions[number].question_id, error=why)
        batch = [(number, questions[number], responses[number]) for number in prepared.numbers]
        return Asked(batch, answered_any if asked else None)

    def release(self, asked: Asked) -> Answered:
        """Take a batch that was asked, in the order of the batches; return what `answer` does.

        Raises:
            FgvrError: the model fails on everything.
        """
        if asked.answered_any is None:
            return asked.batch
        self._held.append(asked.batch)
        if asked.answered_any:
            return self._drain()
        if len(self._held) >= MOST_FAILED_BATCHES:
            self._give_up()
        return []

    def _ask(
        self, asked: list[int], prompts: list[Prompt], prepared: PreparedBatch
    ) -> tuple[dict[int, Response], bool]:
        """Return the responses by question number, and whether the model answered any."""
        try:
            if prepared.unjoined is not None:
                raise Misbehaved(prepared.unjoined)
            return dict(zip(asked, self._respond(prompts, prepared.payload), strict=True)) if asked else {}, True
        except OutOfMemory as error:
            if not self._ever_answered or len(asked) == 1:
                raise
            problem: BaseException = error  # batches of its size fitted: this one is asked in parts
        except FgvrError:
            raise
        except BaseException as error:
            if is_request(error):
                raise
            problem = error
        # Outside the handlers, which would keep the batch's tensors alive.
        self._last_problem = _one_line(problem)
        if isinstance(prepared.payload, Future):  # begun ahead, so asked with patience already
            why = f"model: {self._last_problem}"
            return {
                number: Response(prompt.question_id, error=why) for number, prompt in zip(asked, prompts, strict=True)
            }, False
        return self._one_by_one(asked, prompts)

    def finish(self) -> Answered:
        """Return what is still held back at the end.

        Raises:
            NothingAnswered: the model has not answered a single question of this run, as far as is known here.
        """
        if self._held and not self._ever_answered:
            self._give_up(NothingAnswered)
        return self._drain()

    def _respond(self, prompts: Sequence[Prompt], payload: Any) -> list[Response]:
        responses = list(self.model.respond(prompts, payload))
        if len(responses) != len(prompts):
            raise Misbehaved(f"it returned {len(responses)} responses to {len(prompts)} prompts")
        for prompt, response in zip(prompts, responses, strict=True):
            if response.question_id != prompt.question_id:
                raise Misbehaved(f"it answered {response.question_id} where it was asked {prompt.question_id}")
            if response.scores is not None and len(response.scores) != len(prompt.choices):
                raise Misbehaved(
                    f"it gave {len(response.scores)} scores for {len(prompt.choices)} choices of {prompt.question_id}"
                )
        return [rounded(response) for response in responses]

    def _one_by_one(self, asked: list[int], prompts: list[Prompt]) -> tuple[dict[int, Response], bool]:
        found: dict[int, Response] = {}
        answered_any = False
        for number, prompt in zip(asked, prompts, strict=True):
            try:
                payload = self._payload_of(number)
                found[number] = self._respond([prompt], self._begun([prompt], payload))[0]
                answered_any = True
            except FgvrError:
                raise
            except BaseException as error:
                if is_request(error):
                    raise
                self._last_problem = _one_line(error)
                found[number] = Response(prompt.question_id, error=f"model: {self._last_problem}")
        return found, answered_any

    def _begun(self, prompts: list[Prompt], payload: Any) -> Any:
        """Return what `respond` takes: a model that is waited for has to have begun."""
        return self.model.begin(prompts, payload) if self.model.at_once else payload

    def _payload_of(self, number: int) -> Any:
        if not self.model.needs_images:
            return None
        prepared = prepare(self.book, [number], self.model.preparer)
        if prepared.stop is not None:
            raise prepared.stop
        if prepared.unjoined is not None:
            raise Misbehaved(prepared.unjoined)
        return prepared.payload

    def _drain(self) -> Answered:
        released = [entry for batch in self._held for entry in batch]
        self._held.clear()
        return released

    def _give_up(self, kind: type[FgvrError] = FgvrError) -> None:
        asked = sum(len(batch) for batch in self._held)
        raise kind(
            f"model {self.name} failed on {asked} questions in a row; the last time with {self._last_problem}.",
            hint="None of these was kept. Mend the cause and type the same command again: it goes on from there.",
        )


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, Misbehaved) else f"{type(error).__name__}: {text}"
