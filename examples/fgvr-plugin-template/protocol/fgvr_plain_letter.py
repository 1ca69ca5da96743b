"""The protocol plain-letter: multiple choice in other words, read strictly, until you write your own."""

from collections.abc import Callable, Sequence

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import AskContext, ProtocolCard
from fgvr_bench.protocols.fgvr1 import MultipleChoice
from fgvr_bench.types import Prompt, Question, Reading, Response

FGVR_BENCH_API = "1.0"  # the version of the plugin interface that this is written for


class PlainLetterTask(MultipleChoice):
    """The order of the choices, and reading scores, are those of ``fgvr-1``; the words and the parser are not."""

    name = "multiple-choice"

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Put the question into words; nothing in them may come from the right answer."""
        lines = [f"({letter}) {label}" for letter, label in zip(question.letters, question.choices, strict=True)]
        text = f"Look at the {context.noun} in the image. Reply with one letter.\n" + "\n".join(lines)
        return Prompt(question.question_id, question.example.image, text, question.letters, question.choices)

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read a letter, alone or in brackets, and nothing else: a parser never guesses."""
        if response.error is not None or response.completion is None:
            return super().read(response, letters, choices)
        said = response.completion.strip().removeprefix("(").removesuffix(".").removesuffix(")")
        return Reading(letters.index(said), "letter") if said in letters else Reading(None, "no-letter")

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether nothing that follows can change what is read; if in doubt, False."""
        return False


@hookimpl
def register_protocols(register: Callable[[ProtocolCard], None]) -> None:
    """Tell fgvr-bench of the protocol; a change that can move a verdict makes a new name."""
    task = PlainLetterTask()
    register(ProtocolCard("plain-letter", "Plain letter", {task.name: task}))
