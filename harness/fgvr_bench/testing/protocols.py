"""What a protocol can get wrong."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fgvr_bench.core.host import host
from fgvr_bench.interfaces import Metric, ProtocolCard, Task
from fgvr_bench.testing.cards import DECODINGS, look_at_name, look_at_texts
from fgvr_bench.testing.findings import Findings, described
from fgvr_bench.testing.identity import look_at_identity
from fgvr_bench.testing.questions import look_at_prompts, look_at_questions
from fgvr_bench.testing.reading import look_at_reading, look_at_settling, look_at_verdicts
from fgvr_bench.testing.saying import Say
from fgvr_bench.testing.toys import CONTEXT, ToyDataset, toy_examples, toy_options

FEW = 6
"""How many questions prompts and verdicts are looked at."""


def check_protocol(
    card: ProtocolCard,
    *,
    metrics: Sequence[Metric] = (),
    unshuffled: Sequence[str] = (),
    guessing: Sequence[str] = (),
    say: Say | None = None,
) -> None:
    """Check a protocol: its card, and each of its tasks from the question to the verdict.

    Args:
        card: what the plugin registers.
        metrics: metrics that its tasks name, beside those that are installed.
        unshuffled: names of tasks that leave the right answer in one place on purpose.
        guessing: names of tasks that take a choice for given where none is, because the benchmark they follow does.
        say: what a model says that answers rightly, ``say(letters, choices, place) -> text``, where none of the usual
            ways (the letter, ``Answer: B``, ``<answer>B</answer>``, the choice itself ...) is what its parser wants.

    Raises:
        PluginFault: names everything that is wrong.
    """
    __tracebackhide__ = True  # a fault says it all
    found = Findings(f"Protocol {card.name!r}")
    look_at_name(found, "protocol", ProtocolCard, card)
    look_at_texts(found, card, "title")
    if not isinstance(card.tasks, Mapping) or not card.tasks:
        found.wrong("It has no tasks. Write tasks={task.name: task} into ProtocolCard(...).")
    else:
        known = {*host().metrics.names(), *(metric.name for metric in metrics)}
        for name, task in card.tasks.items():
            if found.need(isinstance(task, Task), f"Its task {name!r} is a {type(task).__name__}, not a Task."):
                _look_at_declaration(found, name, task, known)
                _look_at_task(found, task, name in unshuffled, name in guessing, say)
    found.settle()


def _look_at_declaration(found: Findings, name: str, task: Task, known: set[str]) -> None:
    whose = f"Task {name!r}"
    if task.name != name:
        found.wrong(f"{whose} calls itself {task.name!r}. Write tasks={{task.name: task}}.")
    if not task.decodings or set(task.decodings) - set(DECODINGS):
        found.wrong(f"{whose} has the decodings {task.decodings!r}; they are some of {', '.join(DECODINGS)}.")
    if not task.metrics:
        found.wrong(f"{whose} has no metrics. Name some, the main one first, for example ('accuracy', 'failed').")
    elif missing := [metric for metric in task.metrics if metric not in known]:
        found.wrong(f"{whose} reports the metric {missing[0]!r}, which there is none of. It has to be installed too.")
    length = task.max_new_tokens
    if not isinstance(length, int) or length < 1:
        found.wrong(f"{whose} has max_new_tokens={length!r}; it is a whole number of 1 or more.")


def _look_at_task(found: Findings, task: Task, unshuffled: bool, guesses: bool, say: Say | None) -> None:
    task = _bound(found, task)
    questions = look_at_questions(found, task, unshuffled)
    if not questions:
        return
    look_at_prompts(found, task, questions[:FEW])
    understood = look_at_reading(found, task, questions[0], say, guesses)
    look_at_settling(found, task, questions[0])
    look_at_verdicts(found, task, questions[:FEW], understood)
    _look_at_journey(found, task)


def _bound(found: Findings, task: Task) -> Task:
    """Return the task as a run binds it, where that can be had here."""
    toys = ToyDataset()
    context = replace(CONTEXT, taxonomy={label: toys.taxonomy(label) for label in toys.labels()})
    whose = f"Task {task.name!r}: "
    facts = look_at_identity(found, lambda: task.identify(context), whose)
    if facts is None:
        return task
    with found.trying(f"{whose}bound()"):
        bound = task.bound(facts)
        if not isinstance(bound, Task):
            found.wrong(f"{whose}bound() returns a {type(bound).__name__}; it returns a Task.")
        else:
            return bound
    return task


def _look_at_journey(found: Findings, task: Task) -> None:
    """Send the task to a worker process and back: questions are made there."""
    example = toy_examples(1)[0]
    options = toy_options(example) if task.needs_options else None
    try:
        carried: Task = pickle.loads(pickle.dumps(task))  # noqa: S301 - what was just made of it
    except Exception as problem:
        found.wrong(
            f"Task {task.name!r} cannot be sent to worker processes ({described(problem)}). Define its class at the "
            "top of a module, and hold no lambda, lock or open file."
        )
        return
    with found.trying(f"Task {task.name!r}, after a journey to a worker process,"):
        if carried.ask(example, options, CONTEXT) != task.ask(example, options, CONTEXT):
            found.wrong(f"Task {task.name!r} asks otherwise in a worker process. What it knows is among its fields.")
