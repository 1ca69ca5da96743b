"""Answers of every kind: what a parser has to understand, and what it must not break on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fgvr_bench.types import Response, ScoreKind

Say = Callable[[Sequence[str], Sequence[str], int], str]
"""``say(letters, choices, place)``: what a model says that answers with the choice at a place."""


def plainly(letters: Sequence[str], choices: Sequence[str], place: int) -> str:
    """Say the letter, or the choice where there are none."""
    return (letters or choices)[place]


WAYS: tuple[Say, ...] = (
    plainly,
    lambda *answer: f"{plainly(*answer)}.",
    lambda *answer: f"({plainly(*answer)})",
    lambda *answer: f"Answer: {plainly(*answer)}",
    lambda *answer: f"The answer is {plainly(*answer)}.",
    lambda *answer: f"<answer>{plainly(*answer)}</answer>",
    lambda *answer: f"\\boxed{{{plainly(*answer)}}}",
    lambda *answer: f'{{"answer": "{plainly(*answer)}"}}',
    lambda letters, choices, place: choices[place],
    lambda letters, choices, place: f"{plainly(letters, choices, place)}. {choices[place]}",
)
"""Ways of answering; a parser has to understand one of them."""

CONTINUATIONS = (
    "\n",
    " ",
    ".",
    "\n\nWait, no: B",
    " or C",
    "n",
    "</answer>",
    "\nUser: And this?\nAssistant: A",
    " brick red",
    ". No, it is D.",
)
"""What a model may go on with."""

SILENT = ("", " ", "\n\n", "I cannot tell.", "The picture shows a wall. " * 40, "[]{}()*+?|^$\\", "\0")
"""What says nothing of any choice."""

TEXTS = (
    *SILENT,
    "A",
    "b",
    " C",
    "Z",
    "yes",
    "No.",
    "none of these",
    "A or B",
    "<think>",
    "<think>It is B.</think>",
    "<answer>",
    "\\boxed{",
    '{"answer": ',
    "Answer: ",
    "ASSISTANT:",
    "1",
    "Ａ",
    "é́",
    "\u202eA",
    "\ud800",
    "A" * 1_000,
    "(" * 500,
)
"""What a model may say of anything."""


def texts(letters: Sequence[str], choices: Sequence[str]) -> Iterator[str]:
    """Yield what may be said to a question, sense and nonsense."""
    yield from TEXTS
    for place in range(min(len(choices), 4)):
        for say in WAYS:
            yield say(letters, choices, place)


def responses(question_id: str, letters: Sequence[str], choices: Sequence[str]) -> Iterator[Response]:
    """Yield responses of every form that a run can hold: texts, scores fit and unfit, failures."""
    for text in texts(letters, choices):
        yield Response(question_id, text)
    count = len(choices)
    for numbers in (
        (0.0,) * count,
        (-1.0,) * max(0, count - 1),
        tuple(float(-place) for place in range(count)),
        (float("nan"),) * count,
        (float("-inf"),) * count,
        (1e300,) * (count + 1),
        (),
    ):
        for kind in ScoreKind:
            yield Response(question_id, scores=numbers, score_kind=kind)
    yield Response(question_id, error="image: cannot be read")
    yield Response(question_id, completion="A", error="model: it broke while it answered")
