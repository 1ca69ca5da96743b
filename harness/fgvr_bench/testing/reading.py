"""A task's parser and its verdicts: never at a loss, the same every time, and the same from a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fgvr_bench.core.records import from_line, rounded, to_line
from fgvr_bench.interfaces import Task
from fgvr_bench.testing.findings import Findings, described
from fgvr_bench.testing.generators import poisoned, watched
from fgvr_bench.testing.saying import CONTINUATIONS, SILENT, WAYS, Say, responses, texts
from fgvr_bench.testing.toys import LABELS
from fgvr_bench.types import Answer, Question, Reading, Response, ScoreKind

BY_SCORES = {"logprob": ScoreKind.LOGPROB, "similarity": ScoreKind.SIMILARITY}


def look_at_reading(found: Findings, task: Task, question: Question, say: Say | None, guesses: bool) -> Say | None:
    """Check what `read` makes of responses to one question; return a way of answering that it understands."""
    whose, letters, choices = f"Task {task.name!r}", question.letters, question.choices
    given = list(responses(question.question_id, letters, choices))
    with poisoned(41), watched() as moved:
        readings = _read_all(found, task, question, given)
    with poisoned(42):
        again = _read_all(found, task, question, given)
    if moved:
        found.wrong(f"{whose}: read() moves the global generator of {' and '.join(moved)}. It is a pure function.")
    for response, reading, other in zip(given, readings, again, strict=True):
        if reading is None:  # it raised, which is told
            continue
        if not _is_reading(reading, len(choices)):
            found.wrong(
                f"{whose}: read() of {_told(response)} returns {reading!r:.80}; it returns Reading(choice, rule), with "
                f"the choice from 0 to {len(choices) - 1} or None, and a rule in words.",
                kind=f"{whose} no reading",
            )
        elif reading != other:
            found.wrong(
                f"{whose}: read() of {_told(response)} draws by lot or keeps something. It is a pure function.",
                kind=f"{whose} not pure",
            )
        elif response.error is not None and reading.choice is not None:
            found.wrong(f"{whose}: read() finds a choice in an answer that failed. Return Reading(None, 'failed').")
        elif reading.choice is not None and response.completion in SILENT and not guesses:
            found.wrong(
                f"{whose}: read() finds {_choice(reading.choice)} in {_told(response)}, which names none. Return "
                f"Reading(None, reason); where guessing is the point, name the task to the check: "
                f"guessing=[{task.name!r}].",
                kind=f"{whose} guesses",
            )
    for name, kind in BY_SCORES.items():
        if name in task.decodings and choices:
            _look_at_scores(found, task, question, kind)
    if "generate" not in task.decodings or not choices:
        return None
    ways = (say,) if say is not None else WAYS
    understood = next((way for way in ways if _is_understood(task, question, way)), None)
    if understood is None:
        examples = ", ".join(dict.fromkeys(repr(way(letters, choices, 0)) for way in ways))
        found.wrong(
            f"{whose}: read() finds the choices in none of these answers: {examples}. Where it wants another, name it "
            "to the check: say=lambda letters, choices, place: ..."
        )
    return understood


def _read_all(found: Findings, task: Task, question: Question, given: Sequence[Response]) -> list[Any]:
    """Return what is read off each response, None where that raises."""
    readings: list[Any] = []
    for response in given:
        reading = None
        try:
            reading = task.read(response, question.letters, question.choices)
            found.need(reading is not None, f"Task {task.name!r}: read() returns None; it returns a Reading.")
        except Exception as problem:
            found.wrong(
                f"Task {task.name!r}: read() of {_told(response)} raises {described(problem)}. It never raises, "
                "whatever the response holds.",
                kind=f"{task.name} read raises {type(problem).__name__}",
            )
        readings.append(reading)
    return readings


def look_at_settling(found: Findings, task: Task, question: Question) -> None:
    """Check that a text which is said to be settled is read alike however it goes on."""
    whose, letters, choices = f"Task {task.name!r}", question.letters, question.choices
    for text in texts(letters, choices):
        try:
            if not task.settled(text, letters, choices):
                continue
            before = task.read(Response(question.question_id, text), letters, choices).choice
            for more in CONTINUATIONS:
                after = task.read(Response(question.question_id, text + more), letters, choices).choice
                if after != before:
                    found.wrong(
                        f"{whose}: settled() says that nothing can change what is read off {text[:40]!r}, and with "
                        f"{more!r} behind it that is {_choice(after)} in place of {_choice(before)}. If in doubt, "
                        "return False: generation then goes on."
                    )
                    return
        except Exception as problem:
            found.wrong(f"{whose}: settled() of {text[:40]!r} raises {described(problem)}. It never raises.")
            return


def look_at_verdicts(found: Findings, task: Task, questions: Sequence[Question], say: Say | None) -> None:
    """Check `judge`: right answers are right, failures never, and the verdict from a file of results is the same."""
    asked: list[tuple[Question, Response, bool | None]] = []
    for number, question in enumerate(questions):
        key, letters, choices = question.question_id, question.letters, question.choices
        if say is not None and question.target is not None:
            told = [(Response(key, say(letters, choices, place)), place) for place in range(len(choices))]
            asked += [(question, response, place == question.target) for response, place in told]
        if number == 0:
            given = responses(key, letters, choices)
            asked += [(question, response, False if response.error is not None else None) for response in given]
    with poisoned(43):
        answers = [_verdict(found, task, *each) for each in asked]
    with poisoned(44):
        for (question, response, _), answer in zip(asked, answers, strict=True):
            told_of = f"Task {task.name!r}: judge() of {_told(response)} that is scored again from a file of results,"
            with found.trying(told_of, kind=f"{task.name} judge from file"):
                again = None if answer is None else _judged_from_file(task, question, response)
                if again is not None and again != answer:
                    found.wrong(
                        f"Task {task.name!r}: judge() gives another verdict on {_told(response)} when it is scored "
                        "again from a file of results, which holds no images and no metadata. Judge by the question's "
                        "choices, and draw nothing by lot.",
                        kind=f"{task.name} judge from file",
                    )


def _verdict(found: Findings, task: Task, question: Question, response: Response, right: bool | None) -> Answer | None:
    """Return the verdict on one response where it is one; `right` is None where that is the task's to say."""
    whose, told = f"Task {task.name!r}", _told(response)
    with found.trying(f"{whose}: judge() of {told}", kind=f"{whose} judge"):
        answer = task.judge(question, response)
        if not _is_answer(answer, question):
            found.wrong(
                f"{whose}: judge() returns {answer!r:.120}, which is no verdict on {told}.", kind=f"{whose} no verdict"
            )
            return None
        if right is not None and answer.correct != right:
            verdict = "wrong" if right else "right"
            found.wrong(f"{whose}: judge() takes {told} for {verdict}, and it is not.", kind=f"{whose} {verdict}")
        return answer
    return None


def _judged_from_file(task: Task, question: Question, response: Response) -> Answer | None:
    """Return the verdict on what a file keeps of question and response; None where it keeps another response."""
    try:
        line = to_line(question, rounded(response), LABELS)
    except (TypeError, ValueError):
        return None
    stored_question, stored = from_line(line, LABELS)
    return task.judge(stored_question, stored) if stored == response else None


def _look_at_scores(found: Findings, task: Task, question: Question, kind: ScoreKind) -> None:
    count = len(question.choices)
    for place in range(count):
        scores = tuple(-1.0 - (each != place) * 0.25 for each in range(count))
        response = Response(question.question_id, scores=scores, score_kind=kind)
        with found.trying(f"Task {task.name!r}: read() of scores"):
            choice = task.read(response, question.letters, question.choices).choice
            if choice != place:
                found.wrong(
                    f"Task {task.name!r} can score {kind.value!r}, and read() finds {_choice(choice)} where the "
                    f"highest score is that of choice {place}. See fgvr_bench.protocols.scores.read_scores."
                )
                return


def _is_understood(task: Task, question: Question, say: Say) -> bool:
    letters, choices = question.letters, question.choices
    try:
        return all(
            task.read(Response(question.question_id, say(letters, choices, place)), letters, choices).choice == place
            for place in range(len(choices))
        )
    except Exception:  # told already
        return False


def _is_reading(reading: Any, count: int) -> bool:
    if not isinstance(reading, Reading) or not isinstance(reading.rule, str) or not reading.rule.strip():
        return False
    choice = reading.choice
    return choice is None or (isinstance(choice, int) and not isinstance(choice, bool) and 0 <= choice < count)


def _is_answer(answer: Any, question: Question) -> bool:
    if not isinstance(answer, Answer) or answer.question_id != question.question_id:
        return False
    credit = answer.credit
    return (
        isinstance(answer.correct, bool)
        and _is_reading(Reading(answer.choice, answer.rule), len(question.choices))
        and (credit is None or 0 <= credit <= 1)
    )


def _choice(choice: int | None) -> str:
    return "none" if choice is None else f"choice {choice}"


def _told(response: Response) -> str:
    """Return what is said of a response in a fault."""
    if response.error is not None:
        return "an answer that failed"
    if response.scores is not None:
        return f"the scores {response.scores!r:.60}"
    return f"the answer {response.completion!r:.60}"
