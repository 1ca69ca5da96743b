"""Questions made again from what a run keeps of them: are they what its task asks, and about which options?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fgvr_bench.interfaces import AskContext, Task
from fgvr_bench.types import Options, Question

STAND_INS = 4
"""Choices of the question that tells a task's kind."""


@dataclass(frozen=True, slots=True)
class Asker:
    """A task in the context that a run was asked in, as far as ``run.json`` tells it."""

    task: Task
    context: AskContext

    @classmethod
    def of(cls, task: Task, content: Mapping[str, Any]) -> Asker:
        """Return the asker of a run; `task` is bound to it already."""
        asked = content["inputs"]
        context = AskContext(
            noun=str(asked["dataset"].get("noun", "")),
            labels=tuple(content["labels"]),
            seed=int(asked.get("seed") or 0),
        )
        return cls(task, context)

    def again(self, question: Question, options: Options | None) -> Question:
        """Make a stored question anew.

        Raises:
            FgvrError: the task cannot ask about that.
        """
        return self.task.ask(question.example, options, self.context, question.permutation)

    def options_of(self, question: Question) -> Options | None:
        """Return the options that a question was made from, in their miner's order; None where it does not show all.

        The order in which choices are shown follows from seed and id alone: stand-ins are put into it, and the
        choices are taken back out of it.
        """
        places = self._stand_ins(question, len(question.choices))
        shown = self.again(question, places).choices
        if question.target is None or sorted(shown) != sorted(places.choices):
            return None
        put = {stand_in: question.choices[place] for place, stand_in in enumerate(shown)}
        choices = tuple(put[stand_in] for stand_in in places.choices)
        return Options(question.example.example_id, choices, truth_rank=question.truth_rank)

    def like(self, question: Question) -> bool:
        """Say whether this task asks questions of the kind of `question`: with letters, about a subject, or open."""
        count = min(STAND_INS, max(2, len(self.context.labels)))
        mine = self.task.ask(question.example, self._stand_ins(question, count), self.context, 0)
        return _kind(mine) == _kind(question)

    def _stand_ins(self, question: Question, count: int) -> Options:
        others = (f"\N{NULL}{place}" for place in range(1, count))
        return Options(question.example.example_id, (question.example.label, *others))


def _kind(question: Question) -> tuple[bool, ...]:
    return bool(question.letters), question.subject is not None, question.target is not None, bool(question.choices)
