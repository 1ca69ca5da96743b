"""Small runs with every kind of answer in them, judged by the default protocol: what metrics are tried on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fgvr_bench.interfaces import Scored, Task
from fgvr_bench.protocols.fgvr1 import FGVR_1
from fgvr_bench.testing.toys import LABELS, toy_questions
from fgvr_bench.types import Question, Response, ScoreKind, Stop

EXAMPLES = 18

RUNS = {
    "of multiple choice": ("multiple-choice", 1, "text"),
    "of multiple choice in four orders": ("multiple-choice", 4, "text"),
    "of multiple choice by log-probability": ("multiple-choice", 1, "logprob"),
    "of yes or no": ("yes-no", 2, "text"),
    "over all labels by similarity": ("zero-shot", 1, "similarity"),
    "of open questions": ("open-ended", 1, "text"),
    "of which every answer failed": ("multiple-choice", 1, "failed"),
    "without any question": ("multiple-choice", 0, "text"),
}
"""What each run is, in words → its task, how many orders each example is asked in, and how it is answered."""


def judged_run(name: str) -> list[Scored]:
    """Return the judged responses of one of `RUNS`, in canonical order."""
    task_name, permutations, way = RUNS[name]
    task = FGVR_1.tasks[task_name]
    questions = toy_questions(task, EXAMPLES, permutations=permutations)
    return [_judged(task, question, _answer(question, number, way)) for number, question in enumerate(questions)]


def long_run(count: int) -> Iterator[Scored]:
    """Yield judged responses about examples that are all different, one at a time."""
    few = judged_run("of multiple choice")
    for number in range(count):
        scored = few[number % len(few)]
        example = replace(scored.question.example, example_id=f"toy-paints/test/{number:09}")
        question_id = f"{example.example_id}#multiple-choice.0"
        yield Scored(
            replace(scored.question, question_id=question_id, example=example),
            replace(scored.response, question_id=question_id),
            replace(scored.answer, question_id=question_id),
        )


def _judged(task: Task, question: Question, response: Response) -> Scored:
    return Scored(question, response, task.judge(question, response))


def _answer(question: Question, number: int, way: str) -> Response:
    """Answer rightly in three of six, wrongly in one, with no choice in one, and fail in one."""
    key, kind = question.question_id, number % 6
    if way == "failed" or kind == 5:
        return Response(key, error="image: cannot be read")
    count = len(question.choices)
    said = ((question.target or 0) + (kind == 3)) % count
    if way == "text":
        answers = question.letters or question.choices or LABELS
        words = "None of these." if kind == 4 else answers[said]
        stop = Stop.LENGTH if kind == 4 else Stop.EOS
        return Response(key, words, stop=stop, tokens=None if kind == 2 else 1 + kind)
    scores = tuple(-0.5 - (kind != 4) * ((place - said) % count) for place in range(count))
    return Response(key, scores=scores, score_kind=ScoreKind.LOGPROB if way == "logprob" else ScoreKind.SIMILARITY)
