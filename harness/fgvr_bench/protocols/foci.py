"""Protocol ``foci``: the published prompts, order, parser and metrics to the letter.

What FOCI-Benchmark (arXiv 2406.14496) and the code of Finedefics (arXiv 2501.15140) do, with two differences: the
order of choices is seeded, where theirs comes from an unseeded global generator, and the text around a question is
declared by the model's plugin, where theirs is chosen by substrings of the checkpoint's path.

The pure functions take the order and the random value, so that published prompts can be made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import AskContext, ProtocolCard, Task
from fgvr_bench.protocols.asking import BASIC, FAILED, YES_NO, required
from fgvr_bench.protocols.ordering import draw, make_question_id, seeded_order
from fgvr_bench.protocols.scores import read_scores
from fgvr_bench.types import Example, Json, Options, Prompt, Question, Reading, Response

LETTERS = "ABCD"
"""The only letters that the published loop can show."""

QUERY = "Which of these choices is shown in the image?"
BETWEEN = "\nChoices:\n"
END = "\nAnswer with the letter from the given choices directly."

UNREAD = "NA ### "
"""What the published parser puts before an answer that it cannot read."""

_ROLE, _DECLARATION = "Assistant:", "Answer: "


def multiple_choice_text(
    options: Sequence[str],
    order: Sequence[int],
    query: str = QUERY,
    letters: str = LETTERS,
    between: str = BETWEEN,
    end: str = END,
) -> str:
    """Return the question: line i is ``{letters[i]}. {options[order[i]]}``.

    Raises:
        ValueError: there are more options than letters.
    """
    if len(options) > len(letters):
        raise ValueError(f"{len(options)} options and {len(letters)} letters")
    lines = [f"{letters[place]}. {options[index]}" for place, index in enumerate(order)]
    return query + between + "\n".join(lines) + end


def yes_no_text(options: Sequence[str], value: float, query: str | None = None) -> str:
    """Return the question: about the first option if `value` is below 0.5, else about the last.

    The article is that of the FIRST option in both cases.  A query of its own replaces the whole wording (so the
    published loop, which always passes one, never asks about a label).
    """
    if query is not None:
        return query
    article = "an" if options[0][:1].lower() in tuple("aeiou") else "a"
    label = options[0] if value < 0.5 else options[-1]
    return f"Does the image show {article} {label}? Answer with yes or no."


def in_template(template: str, text: str) -> str:
    """Put the question into a model's template, at its ``{}``."""
    before, _, after = template.partition("{}")
    return before + text + after


def parse_letter(completion: str, letters: str = LETTERS) -> str:
    """Return the first of `letters` with which the lower-cased answer begins, else ``NA ### `` and the answer.

    >>> parse_letter("Cannot tell"), parse_letter(" B")
    ('C', 'NA ###  B')
    """
    lowered = completion.lower()
    for letter in letters:
        if lowered.startswith(letter.lower()):
            return letter
    return UNREAD + completion


def parse_word(completion: str) -> int | None:
    """Return 0 where the lower-cased answer begins with "yes", 1 where it begins with "no", else None."""
    lowered = completion.lower()
    return 0 if lowered.startswith("yes") else 1 if lowered.startswith("no") else None


def trimmed(completion: str) -> str:
    """Return the answer as the published code trims it for one family (`ModelCard.foci_trims`).

    That is the text up to the next ``Assistant:``, stripped, and then every ``Answer: `` in it removed.

    >>> trimmed(" Answer: Answer: C")
    'C'
    """
    return completion.partition(_ROLE)[0].strip().replace(_DECLARATION, "")


def trimmed_so_far(text: str) -> str | None:
    """Return a beginning of `trimmed` that no continuation of `text` changes; None where all of it is fixed."""
    if _ROLE in text:
        return None
    kept = text
    while True:
        shorter = kept.rstrip()
        for mark in (_ROLE, _DECLARATION):
            overlap = next((n for n in range(len(mark) - 1, 0, -1) if shorter.endswith(mark[:n])), 0)
            shorter = shorter[: len(shorter) - overlap]
        if shorter == kept:
            return kept.lstrip().replace(_DECLARATION, "")
        kept = shorter


class _Foci(Task):
    """What both tasks share."""

    decodings: tuple[str, ...] = ("generate",)
    metrics: tuple[str, ...] = (*BASIC, "chance", "top-answer")
    max_new_tokens = 1000

    def __init__(self, trims: bool = False) -> None:
        self.trims = trims

    def identify(self, context: AskContext) -> Mapping[str, Json]:
        """Return the model's template, and whether its answers are trimmed."""
        return {"template": context.foci_template, "trims": context.foci_trims}

    def _completion(self, response: Response) -> str | None:
        completion = response.completion
        if response.error is not None or completion is None:
            return None
        return trimmed(completion) if self.trims else completion

    def _fixed(self, text: str) -> str | None:
        """Return a beginning of what is read that no continuation changes; None where all of it is fixed."""
        return trimmed_so_far(text) if self.trims else text


class FociMultipleChoice(_Foci):
    """Which of up to four labels is shown."""

    name = "multiple-choice"
    decodings = ("generate", "similarity")

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Show the choices in their seeded order.

        Raises:
            UsageError: there are no options, more than four, or no such permutation.
        """
        options = required(self.name, example, options)
        if len(options.choices) > len(LETTERS):
            raise UsageError(
                f"{example.example_id} has {len(options.choices)} choices; protocol foci has four letters.",
                hint="Use --protocol fgvr-1, or options of at most four choices.",
            )
        base_id = make_question_id(example.example_id, self.name)
        order = seeded_order(len(options.choices), context.seed, base_id, permutation)
        return Question(
            make_question_id(example.example_id, self.name, permutation),
            example,
            tuple([options.choices[index] for index in order]),
            order.index(0),
            tuple(LETTERS[: len(order)]),
            None,
            permutation,
            options.truth_rank,
        )

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return the published wording, inside the model's template."""
        query = f"Which of these {context.noun} is shown in the image?"
        text = multiple_choice_text(question.choices, range(len(question.choices)), query)
        return Prompt(
            question.question_id,
            question.example.image,
            in_template(context.foci_template, text),
            question.letters,
            question.choices,
        )

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read the letter with which the answer begins; of ABCD always, however many are offered."""
        if response.error is None and response.scores is not None:
            return read_scores(response.scores, len(choices))
        completion = self._completion(response)
        if completion is None:
            return FAILED
        letter = parse_letter(completion)
        if letter.startswith(UNREAD):
            return Reading(None, "unread")
        place = LETTERS.index(letter)
        return Reading(place, "first-letter") if place < len(choices) else Reading(None, "not-offered")

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether the first sign of what is read is there: no later one counts."""
        return self._fixed(text) != ""

    def bound(self, facts: Mapping[str, Json]) -> FociMultipleChoice:
        """Return the task that trims answers or does not."""
        return FociMultipleChoice(bool(facts.get("trims")))


class FociYesNo(_Foci):
    """Does the picture show this label; with even odds the truth or the last option."""

    name = "yes-no"

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Draw whether to ask about the truth; every permutation draws anew.

        Raises:
            UsageError: there are no options.
        """
        options = required(self.name, example, options)
        question_id = make_question_id(example.example_id, self.name, permutation)
        about_truth = random_value(context.seed, question_id) < 0.5
        return Question(
            question_id,
            example,
            YES_NO,
            0 if about_truth else 1,
            (),
            options.truth if about_truth else options.choices[-1],
            permutation,
            options.truth_rank,
        )

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return the published default wording, inside the model's template."""
        options = (question.example.label, question.subject or "")
        text = yes_no_text(options, 0.0 if question.target == 0 else 1.0)
        return Prompt(
            question.question_id, question.example.image, in_template(context.foci_template, text), (), YES_NO
        )

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read the word with which the answer begins."""
        completion = self._completion(response)
        if completion is None:
            return FAILED
        choice = parse_word(completion)
        return Reading(choice, "first-word" if choice is not None else "unread")

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether what is read can no longer become another word."""
        fixed = self._fixed(text)
        if fixed is None:
            return True
        lowered = fixed.lower()
        return not any(word != lowered and word.startswith(lowered) for word in YES_NO)

    def bound(self, facts: Mapping[str, Json]) -> FociYesNo:
        """Return the task that trims answers or does not."""
        return FociYesNo(bool(facts.get("trims")))


def random_value(seed: int, question_id: str) -> float:
    """Return the question's random value in [0, 1): the first 53 bits of its draw."""
    return (draw(seed, question_id) >> (256 - 53)) / 2**53


FOCI = ProtocolCard(
    name="foci",
    title="FOCI-Benchmark's prompts, parser and metrics to the letter; order seeded",
    tasks={task.name: task for task in (FociMultipleChoice(), FociYesNo())},
    citation="arXiv 2406.14496",
)
