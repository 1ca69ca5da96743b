"""Questions in free words, as the engine that asks a run's questions takes them: no choices, no target, no verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, overload

from fgvr_bench.core.assembly import ReadyModel
from fgvr_bench.core.files import canonical_json
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.core.run_folder import without_credentials
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import AskContext, ModelSettings, Task
from fgvr_bench.types import Example, ImageSource, NoImage, Options, Prompt, Question, Reading, Response

if TYPE_CHECKING:
    from fgvr_bench.core.host import Host

_TEXT = "text"
"""Where an example that stands for a free question keeps its words."""


@dataclass(frozen=True, slots=True)
class FreeQuestion:
    """One question to a model, in free words."""

    question_id: str
    """Unique among the questions asked together; of the form ``a/b/c``, as the ids of examples."""
    text: str
    """The question, before any chat template."""
    image: ImageSource = field(default_factory=NoImage)
    """The picture that it is about, or `NoImage`."""


class FreeWords(Task):
    """Asks what it is given, and judges nothing."""

    name = "free-words"
    needs_options = False
    decodings = ("generate",)
    metrics = ()

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Return the question that the example stands for."""
        return Question(example.example_id, example, (), None)

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Return its words as they are."""
        example = question.example
        return Prompt(question.question_id, example.image, example.metadata[_TEXT], (), ())

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Return that nothing is read off it."""
        return Reading(None, "free words")


@dataclass(frozen=True, slots=True)
class _AsExamples(Sequence[Example]):
    questions: Sequence[FreeQuestion]

    def __len__(self) -> int:
        return len(self.questions)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return _AsExamples(self.questions[index])
        asked = self.questions[index]
        return Example(asked.question_id, asked.image, "free", "free", {_TEXT: asked.text})


def book_of(questions: Sequence[FreeQuestion]) -> QuestionBook:
    """Return free questions as a book; they stay as lazy as they come, and have to be picklable."""
    return QuestionBook(FreeWords(), AskContext("", ()), _AsExamples(questions), None)


def words_digest(questions: Sequence[FreeQuestion]) -> str:
    """Return the SHA-256 of all ids and words, in order; what the pictures hold is the caller's to name."""
    hasher = hashlib.sha256()
    for index in range(len(questions)):
        asked = questions[index]
        shown = not isinstance(asked.image, NoImage)
        hasher.update(canonical_json([asked.question_id, asked.text, shown]).encode() + b"\n")
    return hasher.hexdigest()


def ready_writer(host: Host, name: str, settings: ModelSettings) -> ReadyModel:
    """Look up a model that answers in words, and let it say what can change its answers.

    Args:
        host: where it is registered.
        name: its name, with what follows a colon.
        settings: all but the argument, which the name brings; ``decoding`` is to be ``generate``.

    Raises:
        UsageError: it does not write text, or does not have these settings.
        FgvrError: unknown, or its checkpoint cannot be there.
    """
    plugin, argument = host.models.find(name)
    if "generate" not in plugin.card.decodings:
        raise UsageError(
            f"model {name} answers by {', '.join(plugin.card.decodings)}; what is asked here wants words.",
            hint="Name a model that generates; see: fgvr-bench models",
        )
    wanted = replace(settings, argument=argument)
    canonical = without_credentials(plugin.card.name + (argument or ""))
    return ReadyModel(name, canonical, plugin, wanted, dict(plugin.identify(wanted)))
