"""What the tasks of all protocols share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import AskContext
from fgvr_bench.types import Example, Options, Reading

YES_NO = ("yes", "no")
"""The choices of a yes/no question, in this order."""

BASIC = ("accuracy", "mean-class-accuracy", "unparsed", "failed")
"""Metrics that every generative task reports."""

CHOSEN = ("chance", "top-answer", "position-gap", "consistency", "debiased-accuracy", "accuracy-easy", "accuracy-hard")
"""Metrics of tasks that offer choices in an order."""

FAILED = Reading(None, "failed")
"""What is read off a response without an answer."""


def required(task: str, example: Example, options: Options | None) -> Options:
    """Return the options.

    Raises:
        UsageError: there are none.
    """
    if options is None:
        raise UsageError(
            f"{example.example_id} has no options, and task {task} asks about them.",
            hint="Build them with: fgvr-bench options build",
        )
    return options


def field_guide(labels: Sequence[str], context: AskContext) -> str:
    """Return what stands before a question under ``--field-guide``: the descriptions of its labels, in shown order.

    Empty without descriptions.  A change of these words wants another `core.field_guide.WORDING`.
    """
    if not context.descriptions:
        return ""
    return "Field guide:\n" + "".join(f"{label}: {context.descriptions[label]}\n" for label in labels) + "\n"


def once(task: str, permutation: int) -> None:
    """See to it that a task without an order is asked once.

    Raises:
        UsageError: another permutation than 0.
    """
    if permutation:
        raise UsageError(f"task {task} has one order only; there is no permutation {permutation}.")


def target_of(example: Example, labels: Sequence[str]) -> int:
    """Return the index of the example's label.

    Raises:
        UsageError: it is none of `labels`.
    """
    target = _places(tuple(labels)).get(example.label)
    if target is None:
        raise UsageError(f"{example.example_id} is labelled {example.label!r}, which is none of the dataset's labels.")
    return target


@lru_cache(maxsize=16)
def _places(labels: tuple[str, ...]) -> dict[str, int]:
    return {label: place for place, label in enumerate(labels)}
