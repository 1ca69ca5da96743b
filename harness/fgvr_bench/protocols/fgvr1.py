"""Protocol ``fgvr-1``, the default: the published wording, seeded order, a parser that never guesses.

Tasks import the parser when they read their first answer: lists of plugins make tasks, and have no need of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import AskContext, ProtocolCard, Task
from fgvr_bench.protocols.asking import BASIC, CHOSEN, FAILED, YES_NO, field_guide, once, required, target_of
from fgvr_bench.protocols.nearest import NearestName
from fgvr_bench.protocols.openended import OpenEnded
from fgvr_bench.protocols.ordering import draw, make_question_id, seeded_order
from fgvr_bench.protocols.scores import read_scores
from fgvr_bench.types import Example, Options, Prompt, Question, Reading, Response, letters_for

__all__ = ["FGVR_1", "MultipleChoice", "Unshuffled", "YesNo", "ZeroShot"]


class MultipleChoice(Task):
    """Which of a few labels is shown; answered with a letter."""

    name = "multiple-choice"
    metrics: tuple[str, ...] = (*BASIC, *CHOSEN, "calibration-error")

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Show the choices in their seeded order (see `ordering.seeded_order`).

        Raises:
            UsageError: there are no options, or no such permutation.
        """
        options = required(self.name, example, options)
        base_id = make_question_id(example.example_id, self.name)
        order = self.order(len(options.choices), context.seed, base_id, permutation)
        choices = tuple([options.choices[index] for index in order])
        return Question(
            base_id if permutation == 0 else make_question_id(example.example_id, self.name, permutation),
            example,
            choices,
            order.index(0),
            letters_for(choices),
            None,
            permutation,
            options.truth_rank,
        )

    def order(self, k: int, seed: int, question_id: str, permutation: int) -> list[int]:
        """Return which of the k options, the truth first, stands in each place."""
        return seeded_order(k, seed, question_id, permutation)

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return the published wording, without any model's template; before it the field guide, if there is one."""
        lines = [f"{letter}. {label}\n" for letter, label in zip(question.letters, question.choices, strict=True)]
        text = (
            f"{field_guide(question.choices, context)}"
            f"Which of these {context.noun} is shown in the image?\nChoices:\n{''.join(lines)}"
            "Answer with the letter from the given choices directly."
        )
        return Prompt(question.question_id, question.example.image, text, question.letters, question.choices)

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read scores where there are any, else the text."""
        if response.error is not None:
            return FAILED
        if response.scores is not None:
            return read_scores(response.scores, len(choices))
        if response.completion is None:
            return FAILED
        from fgvr_bench.protocols.parser import parse_choice

        return parse_choice(response.completion, letters, choices)

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether the text writes out its own end; an answer that could be taken back is not settled."""
        from fgvr_bench.protocols.parser import is_over

        return is_over(text)


class Unshuffled(MultipleChoice):
    """The options in the order of their file, in which the truth stands first: as follow-up work has asked them.

    A model that always answers A is right in every one of these questions; the figure stands beside that of
    ``multiple-choice``, never in its place.
    """

    name = "multiple-choice-unshuffled"

    def order(self, k: int, seed: int, question_id: str, permutation: int) -> list[int]:
        """Return the file's order; permutation i is its rotation by i.

        Raises:
            UsageError: there are no more rotations.
        """
        if permutation >= k:
            raise UsageError(f"task {self.name} has the {k} rotations of {k} choices; there is no {permutation}.")
        return [*range(permutation, k), *range(permutation)]


class YesNo(Task):
    """Does the picture show this label; answered with yes or no, half of the questions with each."""

    name = "yes-no"
    decodings = ("generate", "logprob")
    metrics = (*BASIC, "chance", "top-answer", "accuracy-easy", "accuracy-hard", "calibration-error")

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Ask about the truth or about a wrong label.

        Permutation 0 draws which; permutation 1 asks about the other, so that two permutations are balanced
        exactly.  These two take the hardest wrong label (the last option), the next two the next hardest.

        Raises:
            UsageError: there are no options, or no such permutation.
        """
        options = required(self.name, example, options)
        pair, other = divmod(permutation, 2)
        if not 0 <= pair < len(options.choices) - 1:
            raise UsageError(
                f"task {self.name} has two questions for each of {len(options.choices) - 1} wrong labels; "
                f"there is no permutation {permutation}.",
                hint=f"Ask for at most {2 * (len(options.choices) - 1)} permutations.",
            )
        about_truth = draw(context.seed, make_question_id(example.example_id, self.name)) % 2 == other
        return Question(
            make_question_id(example.example_id, self.name, permutation),
            example,
            YES_NO,
            0 if about_truth else 1,
            (),
            options.truth if about_truth else options.choices[-1 - pair],
            permutation,
            options.truth_rank,
        )

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return the published wording, with the article that the label asks for; before it the field guide."""
        label = question.subject or ""
        article = "an" if label[:1].lower() in "aeiou" else "a"
        text = f"{field_guide([label], context)}Does the image show {article} {label}? Answer with yes or no."
        return Prompt(question.question_id, question.example.image, text, (), YES_NO)

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read scores where there are any, else the text."""
        if response.error is not None:
            return FAILED
        if response.scores is not None:
            return read_scores(response.scores, len(choices))
        if response.completion is None:
            return FAILED
        from fgvr_bench.protocols.yesno import parse_yes_no

        return parse_yes_no(response.completion)

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether the text writes out its own end."""
        from fgvr_bench.protocols.parser import is_over

        return is_over(text)


class ZeroShot(Task):
    """Which of all labels of the dataset is shown; for contrastive models."""

    name = "zero-shot"
    needs_options = False
    decodings = ("similarity",)
    metrics = ("accuracy", "mean-class-accuracy", "failed", "chance")

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Offer all labels, in the published order.

        Raises:
            UsageError: the example's label is not among the dataset's, or a permutation is asked for.
        """
        once(self.name, permutation)
        target = target_of(example, context.labels)
        question_id = make_question_id(example.example_id, self.name)
        return Question(question_id, example, context.labels, target)

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return the bare question; contrastive models look at the choices alone."""
        text = f"Which of these {context.noun} is shown in the image?"
        return Prompt(question.question_id, question.example.image, text, (), question.choices)

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read the highest similarity."""
        if response.error is not None or response.scores is None:
            return FAILED
        return read_scores(response.scores, len(choices))


FGVR_1 = ProtocolCard(
    name="fgvr-1",
    title="The published wording, seeded order, a parser that never guesses",
    tasks={
        task.name: task for task in (MultipleChoice(), YesNo(), ZeroShot(), OpenEnded(), NearestName(), Unshuffled())
    },
)
"""The default protocol."""
