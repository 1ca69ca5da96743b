"""Protocol ``fgvr-1``, the default: the published wording, seeded order, a parser that never guesses."""

from __future__ import annotations

from collections.abc import Sequence

from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import AskContext, ProtocolCard, Task
from fgvr_bench.protocols.ordering import make_question_id, seeded_order
from fgvr_bench.protocols.parser import parse_choice
from fgvr_bench.protocols.scores import read_scores
from fgvr_bench.types import Example, Options, Prompt, Question, Reading, Response, letters_for


class MultipleChoice(Task):
    """Which of a few labels is shown; answered with a letter."""

    name = "multiple-choice"

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Show the choices in their seeded order.

        Raises:
            UsageError: there are no options.
        """
        if options is None:
            raise UsageError(
                f"{example.example_id} has no options, and task {self.name} asks about them.",
                hint="Build them with: fgvr-bench options build",
            )
        question_id = make_question_id(example.example_id, self.name, permutation)
        base_id = question_id if permutation == 0 else make_question_id(example.example_id, self.name)
        order = seeded_order(len(options.choices), context.seed, base_id, permutation)
        choices = tuple([options.choices[index] for index in order])
        return Question(question_id, example, choices, order.index(0), letters_for(choices), None, permutation)

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return the published wording, without any model's template."""
        lines = "\n".join(
            [f"{letter}. {label}" for letter, label in zip(question.letters, question.choices, strict=True)]
        )
        text = (
            f"Which of these {context.noun} is shown in the image?\nChoices:\n{lines}\n"
            "Answer with the letter from the given choices directly."
        )
        return Prompt(question.question_id, question.example.image, text, question.letters, question.choices)

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read scores where there are any, else the text."""
        if response.error is not None:
            return Reading(None, "failed")
        if response.scores is not None:
            return read_scores(response.scores, len(choices))
        if response.completion is None:
            return Reading(None, "failed")
        return parse_choice(response.completion, letters, choices)


class ZeroShot(Task):
    """Which of all labels of the dataset is shown; for contrastive models."""

    name = "zero-shot"
    needs_options = False
    decodings = ("similarity",)

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Offer all labels, in the published order.

        Raises:
            UsageError: the example's label is not among the dataset's.
        """
        try:
            target = context.labels.index(example.label)
        except ValueError:
            raise UsageError(f"{example.example_id}: {example.label!r} is none of the dataset's labels.") from None
        question_id = make_question_id(example.example_id, self.name, permutation)
        return Question(question_id, example, context.labels, target, (), None, permutation)

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return the bare question; contrastive models look at the choices alone."""
        text = f"Which of these {context.noun} is shown in the image?"
        return Prompt(question.question_id, question.example.image, text, (), question.choices)

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read the highest similarity."""
        if response.error is not None or response.scores is None:
            return Reading(None, "failed")
        return read_scores(response.scores, len(choices))


FGVR_1 = ProtocolCard(
    name="fgvr-1",
    title="The published wording, seeded order, a parser that never guesses",
    tasks={task.name: task for task in (MultipleChoice(), ZeroShot())},
)
