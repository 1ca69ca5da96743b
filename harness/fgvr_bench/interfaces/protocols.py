"""What a protocol provides: tasks, with their wording, order and parser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fgvr_bench.types import Answer, Example, Json, Options, Prompt, Question, Reading, Response


@dataclass(frozen=True, slots=True)
class AskContext:
    """What a task may know beside the example."""

    noun: str
    """Plural noun of the dataset's question."""
    labels: tuple[str, ...]
    """All labels of the dataset, in published order."""
    seed: int = 0
    """What orders of choices are drawn from, with the question's id."""
    foci_template: str = "{}"
    """The model card's template; only protocol ``foci`` looks at it."""
    foci_trims: bool = False
    """Likewise."""
    taxonomy: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The ranks above each label, coarse to fine, where the dataset knows them; only open questions look at it."""
    clip_checkpoint: str = ""
    """Folder of a contrastive checkpoint that the dataset brings, or empty; only ``open-ended-nearest`` looks at it."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """What describes each label, under ``--field-guide``; a task that can shows those of a question's labels."""


class Task(ABC):
    """One way of asking, ordering, parsing and scoring."""

    name: str
    """The name users type after ``--task``; it is part of every question's id."""
    needs_options: bool = True
    """Whether questions are made from an option set."""
    decodings: tuple[str, ...] = ("generate", "logprob", "similarity")
    """Ways of answering that this task can score."""
    metrics: tuple[str, ...] = ("accuracy", "mean-class-accuracy", "unparsed", "failed")
    """Names of the metrics that it reports, the main one first."""
    max_new_tokens: int = 64
    """Longest answer, in tokens."""

    @abstractmethod
    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Make a question; the order of its choices follows from (seed, question_id) alone."""

    @abstractmethod
    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Put a question into words."""

    @abstractmethod
    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read the given choice off a response.  Pure; never raises whatever the response holds."""

    def judge(self, question: Question, response: Response) -> Answer:
        """Read the response and compare with the target."""
        reading = self.read(response, question.letters, question.choices)
        correct = reading.choice is not None and reading.choice == question.target
        return Answer(question.question_id, reading.choice, correct, reading.rule)

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether no continuation of `text` can change what `read` returns."""
        return False

    def identify(self, context: AskContext) -> Mapping[str, Json]:
        """Return what of the context, noun, labels and seed aside, can change a prompt or a verdict.

        It is part of the run's identity, and stored: `bound` gets it again whenever the run is scored.
        """
        return {}

    def bound(self, facts: Mapping[str, Json]) -> Task:
        """Return this task as it reads and judges a run of which `identify` said `facts`."""
        return self


@dataclass(frozen=True, slots=True)
class ProtocolCard:
    """A versioned bundle of tasks; a change that can move a verdict makes a new name."""

    name: str
    """For example ``fgvr-1``."""
    title: str
    """What it does, in a few words."""
    tasks: Mapping[str, Task]
    """By name; the first is the default."""
    citation: str = ""
    """Whom to cite for it."""
