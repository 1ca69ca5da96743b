"""Protocol ``fgvr-1-cot``: the model thinks in ``<think>`` and answers in ``<answer>``."""

from __future__ import annotations

from collections.abc import Sequence

from fgvr_bench.interfaces import AskContext, ProtocolCard
from fgvr_bench.protocols.asking import BASIC, CHOSEN, FAILED, field_guide
from fgvr_bench.protocols.fgvr1 import MultipleChoice
from fgvr_bench.types import Prompt, Question, Reading, Response


class ThoughtfulChoice(MultipleChoice):
    """Which of a few labels is shown; thought over, then answered with a letter.

    The question has the id, and so the order, that it has in ``fgvr-1``.
    """

    decodings = ("generate",)
    metrics: tuple[str, ...] = (*BASIC, *CHOSEN, "truncated", "tokens")
    max_new_tokens = 2048

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return the published question, with an instruction to think first."""
        lines = [f"{letter}. {label}\n" for letter, label in zip(question.letters, question.choices, strict=True)]
        text = (
            f"{field_guide(question.choices, context)}"
            f"Which of these {context.noun} is shown in the image?\nChoices:\n{''.join(lines)}"
            "First think about what tells the choices apart and what the image shows, inside <think> and </think>. "
            "Then give the letter of your answer from the given choices, inside <answer> and </answer>."
        )
        return Prompt(question.question_id, question.example.image, text, question.letters, question.choices)

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read the first answer tag after the thought; without a closed thought the last tag, else the text."""
        if response.error is not None or response.completion is None:
            return FAILED
        from fgvr_bench.protocols import clean
        from fgvr_bench.protocols.parser import read_inside, read_turn

        turn, _ = clean.turn(response.completion)
        tagged, _ = clean.answer_after_thought(turn)
        if tagged is None:
            last = clean.tagged_answer(turn)
            if last is None:
                return read_turn(turn, letters, choices)
            tagged, _ = last
        return read_inside(tagged, "answer-tag", letters, choices)

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether the answer's tag is closed after a closed thought: the wording makes that the end."""
        from fgvr_bench.protocols import clean

        turn, over = clean.turn(text)
        return over or (clean.own_text(text) is not None and clean.answer_after_thought(turn)[1])


FGVR_1_COT = ProtocolCard(
    name="fgvr-1-cot",
    title="As fgvr-1, after thinking: <think>, then <answer>",
    tasks={task.name: task for task in (ThoughtfulChoice(),)},
)
